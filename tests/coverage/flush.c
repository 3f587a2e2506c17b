/* Part of the preload object in a build with coverage, and in no other: counts are written where a
 * process ends without its destructors, or becomes another program. */
#include "real.h"
#include <gcov.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void flush(void)
{
    int saved = errno;
    __gcov_dump();
    __gcov_reset();
    errno = saved;
}

static __attribute__((noreturn)) void end(int status)
{
    flush();
    for (;;)
        syscall(SYS_exit_group, status);
}

EXPORT void _exit(int status)
{
    end(status);
}

EXPORT void _Exit(int status)
{
    end(status);
}

/* What exec.c finds as libc's own, by --wrap. */
s5_real_fn __real_s5_real_find(const char *name);
s5_real_fn __wrap_s5_real_find(const char *name);

#define EXEC(name, params, args)                                                                   \
    static int(*real_##name) params;                                                               \
    static int flushed_##name params                                                               \
    {                                                                                              \
        flush();                                                                                   \
        return real_##name args;                                                                   \
    }

EXEC(execve, (const char *path, char *const argv[], char *const envp[]), (path, argv, envp))
EXEC(execvpe, (const char *file, char *const argv[], char *const envp[]), (file, argv, envp))
EXEC(fexecve, (int fd, char *const argv[], char *const envp[]), (fd, argv, envp))
EXEC(execveat, (int dir, const char *path, char *const argv[], char *const envp[], int flags),
     (dir, path, argv, envp, flags))

s5_real_fn __wrap_s5_real_find(const char *name)
{
    s5_real_fn found = __real_s5_real_find(name);
#define FLUSHED(call)                                                                              \
    if (strcmp(name, #call) == 0) {                                                                \
        real_##call = (__typeof__(real_##call))found;                                              \
        return (s5_real_fn)flushed_##call;                                                         \
    }
    FLUSHED(execve)
    FLUSHED(execvpe)
    FLUSHED(fexecve)
    FLUSHED(execveat)
    return found;
}
