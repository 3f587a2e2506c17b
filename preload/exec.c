/* exec*, posix_spawn* and pidfd_spawn*: a program that cannot be covered is not started, and one that can finds
 * its way back to us: the object in LD_PRELOAD, the tree in SOCKS5_STATE, and, where its
 * environment was cleaned, the variables our configuration came from.
 *
 * All of it may run in a child of vfork, with the parent's memory: the new environment lives on the
 * stack, nothing is allocated and nothing of the process is changed. */
#include "program.h"
#include "start.h"
#include <alloca.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PRELOAD_MAX 4096 /* octets of LD_PRELOAD that are carried over */

/* --- may it be started --- */

/* Functions of our own around libc's, so that the table below costs the loader no look-up. */
static int plain_open(const char *path, int flags, ...)
{
    return open(path, flags); /* nothing is created */
}
static ssize_t plain_pread(int fd, void *buf, size_t n, off_t at)
{
    return pread(fd, buf, n, at);
}
static int plain_fstat(int fd, struct stat *ret)
{
    return fstat(fd, ret);
}
static int plain_close(int fd)
{
    return s5_begin()->real->close(fd);
}
static ssize_t plain_getxattr(const char *path, const char *name, void *value, size_t size)
{
    return getxattr(path, name, value, size);
}
static int plain_access(const char *path, int mode)
{
    return access(path, mode);
}

static const struct s5_program_calls program_calls = {
    plain_open, plain_pread, plain_fstat, plain_close, plain_getxattr, plain_access,
};

static int refuse(const char *path, const struct s5_program_report *report)
{
    s5_log(&s5_begin()->log, S5_LOG_ERROR, "refused to run %s: %s: %s", path, report->detail,
           s5_program_hint(report->coverage));
    return -EACCES;
}

static int check(const char *path)
{
    struct s5_program_report report;
    int saved = errno;
    int r = s5_program_check(&program_calls, path, getenv("PATH"), &report);
    errno = saved;
    return r > 0 ? refuse(path, &report) : 0;
}

static int check_found(const char *file)
{
    char path[4096];
    if (!file || strchr(file, '/'))
        return file ? check(file) : 0;
    if (s5_program_find(&program_calls, file, getenv("PATH"), path, sizeof path) < 0)
        return 0; /* exec tells why */
    return check(path);
}

/* --- its environment --- */

struct child {
    char **strings;
    char preload[PRELOAD_MAX];
    char state[sizeof(S5_TREE_VARIABLE) + S5_TREE_VALUE_MAX + 4];
};

static bool is(const char *string, const char *name)
{
    size_t n = strlen(name);
    return strncmp(string, name, n) == 0 && string[n] == '=';
}

/* Whether the list VALUE (of LD_PRELOAD) names OBJECT. */
static bool lists(const char *value, const char *object)
{
    size_t n = strlen(object);
    for (const char *at = value; (at = strstr(at, object)); at += n)
        if ((at == value || strchr(": ", at[-1])) && (!at[n] || strchr(": ", at[n])))
            return true;
    return false;
}

static void set_state(struct s5_engine *e, struct child *c)
{
    bool adopt = s5_life_hand_over(e);
    s5_life_inherit(e);
    c->state[0] = 0;
    if (e->state[0])
        s5_format(c->state, sizeof c->state, "%s%s", e->state, adopt ? ":a" : "");
}

static size_t count(char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

/* Fills C from ENVP; C->strings has room. */
static int fill(struct s5_engine *e, struct child *c, char *const *envp)
{
    const char *object = s5_start_object(), *preload = NULL;
    int kept_count, n = 0;
    char *const *kept = s5_begin_kept(&kept_count);
    if (!object)
        return -EACCES;
    set_state(e, c);
    for (char *const *at = envp; at && *at; at++) {
        if (is(*at, "LD_PRELOAD"))
            preload = *at + sizeof "LD_PRELOAD";
        else if (!is(*at, S5_TREE_VARIABLE))
            c->strings[n++] = *at;
    }
    bool cleaned = !preload || !lists(preload, object);
    if (s5_format(c->preload, sizeof c->preload, "LD_PRELOAD=%s%s%s", cleaned ? object : "",
                  cleaned && preload && *preload ? ":" : "",
                  preload ? preload : "") >= sizeof c->preload - 1)
        return -E2BIG;
    for (int i = 0; cleaned && i < kept_count; i++) {
        bool there = false;
        size_t name = (size_t)(strchr(kept[i], '=') - kept[i]) + 1;
        for (int j = 0; j < n; j++)
            there |= strncmp(c->strings[j], kept[i], name) == 0;
        if (!there)
            c->strings[n++] = kept[i];
    }
    c->strings[n++] = c->preload;
    if (c->state[0])
        c->strings[n++] = c->state;
    c->strings[n] = NULL;
    return 0;
}

/* In every hook: the room for the child's environment is the hook's own stack. */
#define CHILD(c, envp)                                                                             \
    struct child c;                                                                                \
    c.strings = alloca((count(envp) + S5_BEGIN_KEPT + 3) * sizeof(char *))

/* For R, what an exec came to that did not happen. */
static int stay(int r)
{
    s5_life_stay(s5_begin());
    return r;
}

/* --- the family --- */

HOOK(int, execve, (const char *path, char *const argv[], char *const envp[]))
{
    CHILD(c, envp);
    FIND(real, execve);
    if (s5_engine_inside) /* the bridge: nothing of the program's */
        return real(path, argv, envp);
    int r = path ? check(path) : 0;
    if (r == 0)
        r = fill(s5_begin(), &c, envp);
    return stay(r < 0 ? (int)s5_door(r) : real(path, argv, c.strings));
}

HOOK(int, execv, (const char *path, char *const argv[]))
{
    return execve(path, argv, environ);
}

HOOK(int, execvpe, (const char *file, char *const argv[], char *const envp[]))
{
    CHILD(c, envp);
    FIND(real, execvpe);
    int r = check_found(file);
    if (r == 0)
        r = fill(s5_begin(), &c, envp);
    return stay(r < 0 ? (int)s5_door(r) : real(file, argv, c.strings));
}

HOOK(int, execvp, (const char *file, char *const argv[]))
{
    return execvpe(file, argv, environ);
}

HOOK(int, execveat, (int dir, const char *path, char *const argv[], char *const envp[], int flags))
{
    char at[4096];
    CHILD(c, envp);
    FIND(real, execveat);
    const char *where = path;
    if (path && path[0] != '/' && dir != AT_FDCWD) {
        s5_format(at, sizeof at, path[0] ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d%s", dir, path);
        where = at;
    }
    int r = where ? check(where) : 0;
    if (r == 0)
        r = fill(s5_begin(), &c, envp);
    return stay(r < 0 ? (int)s5_door(r) : real(dir, path, argv, c.strings, flags));
}

HOOK(int, fexecve, (int fd, char *const argv[], char *const envp[]))
{
    char at[32];
    CHILD(c, envp);
    FIND(real, fexecve);
    s5_format(at, sizeof at, "/proc/self/fd/%d", fd);
    int r = check(at);
    if (r == 0)
        r = fill(s5_begin(), &c, envp);
    return stay(r < 0 ? (int)s5_door(r) : real(fd, argv, c.strings));
}

/* The arguments of an execl*, NULL included, as a vector on the stack of the hook. */
#define GATHER(argv, first, args)                                                                  \
    va_start(args, first);                                                                         \
    size_t n_##argv = 1;                                                                           \
    while (first && va_arg(args, char *))                                                          \
        n_##argv++;                                                                                \
    va_end(args);                                                                                  \
    char **argv = alloca((n_##argv + 1) * sizeof *argv);                                           \
    argv[0] = (char *)(uintptr_t)first;                                                            \
    va_start(args, first);                                                                         \
    for (size_t i = 1; argv[0] && i <= n_##argv; i++)                                              \
    argv[i] = va_arg(args, char *)

HOOK(int, execl, (const char *path, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    va_end(args);
    return execve(path, argv, environ);
}

HOOK(int, execlp, (const char *file, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    va_end(args);
    return execvpe(file, argv, environ);
}

HOOK(int, execle, (const char *path, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    char *const *envp = va_arg(args, char *const *);
    va_end(args);
    return execve(path, argv, envp);
}

/* posix_spawn() and its relatives have one shape: *RESULT receives a process ID or a descriptor,
 * and an error number is returned. */
typedef int spawn_fn(int *result, const char *file, const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

/* MAY_START is check() or check_found(): whether NAME looks FILE up in PATH. */
static int spawn(const char *name, int (*may_start)(const char *), int *result, const char *file,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                 char *const argv[], char *const envp[])
{
    CHILD(c, envp);
    spawn_fn *real = (spawn_fn *)s5_real_find(name);
    if (!real)
        return ENOSYS;
    int r = may_start(file);
    if (r == 0)
        r = fill(s5_begin(), &c, envp);
    return stay(r < 0 ? -r : real(result, file, actions, attr, argv, c.strings));
}

#define SPAWN(name, may_start)                                                                     \
    HOOK(int, name,                                                                                \
         (int *result, const char *file, const posix_spawn_file_actions_t *actions,                \
          const posix_spawnattr_t *attr, char *const argv[], char *const envp[]))                  \
    {                                                                                              \
        return spawn(#name, may_start, result, file, actions, attr, argv, envp);                   \
    }

SPAWN(posix_spawn, check)
SPAWN(posix_spawnp, check_found)
/* Since glibc 2.39. The hooks exist with every libc, so that an object built with an older one
 * covers programs on a newer one. */
SPAWN(pidfd_spawn, check)
SPAWN(pidfd_spawnp, check_found)

/* --- shells libc starts by itself, with the environment as it stands: what was cleaned out of it
 * is put back --- */

static void restore_environment(void)
{
    const char *object = s5_start_object(), *preload = getenv("LD_PRELOAD");
    int n;
    char *const *kept = s5_begin_kept(&n);
    s5_life_inherit(s5_begin());
    if (!object || (preload && lists(preload, object)))
        return;
    setenv("LD_PRELOAD", object, 1);
    for (int i = 0; i < n; i++) {
        char name[32];
        size_t len = (size_t)(strchr(kept[i], '=') - kept[i]);
        s5_format(name, sizeof name, "%.*s", (int)len, kept[i]);
        setenv(name, kept[i] + len + 1, 0);
    }
    if (s5_begin()->state[0])
        putenv(s5_begin()->state);
}

HOOK(int, system, (const char *command))
{
    FIND(real, system);
    restore_environment();
    return real(command);
}

HOOK(FILE *, popen, (const char *command, const char *mode))
{
    FIND(real, popen);
    restore_environment();
    return real(command, mode);
}

ALIAS(_IO_popen, popen)

/* What popen() consists of, for a stream that exists. No header declares it. */
HOOK(FILE *, _IO_proc_open, (FILE * stream, const char *command, const char *mode))
{
    __typeof__(&hook__IO_proc_open) real =
        (__typeof__(&hook__IO_proc_open))s5_real_find("_IO_proc_open");
    restore_environment();
    return real(stream, command, mode);
}
