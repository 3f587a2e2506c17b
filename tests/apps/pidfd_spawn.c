/* Starts a program with pidfd_spawn() or pidfd_spawnp(), in an empty environment:
 *
 *   pidfd_spawn FUNCTION PROGRAM [ARGUMENT]...
 *
 * It waits for the child through the descriptor and exits with the child's exit status. Its own exit statuses are
 * above those of env(1): NO_FUNCTION if FUNCTION does not exist or returns ENOSYS, NOT_STARTED if it returns
 * another error, whose number is printed. glibc has had both functions since 2.39. They are looked up by name, so
 * this program can be built with any libc. */
#include "app.h"
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <spawn.h>

enum { NO_FUNCTION = 190, NOT_STARTED = 191 };

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

typedef int spawn_fn(int *pidfd, const char *program, const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

int main(int argc, char **argv)
{
    union {
        void *object;
        spawn_fn *function;
    } found = {NULL};
    int pidfd = -1;
    if (argc < 3)
        FAIL("usage: %s FUNCTION PROGRAM [ARGUMENT]...", argv[0]);
    found.object = dlsym(RTLD_DEFAULT, argv[1]);
    if (!found.object) {
        fprintf(stderr, "glibc %s has no %s()\n", gnu_get_libc_version(), argv[1]);
        return NO_FUNCTION;
    }
    int error = found.function(&pidfd, argv[2], NULL, NULL, argv + 2, (char *[]){NULL});
    if (error) {
        CHECK(pidfd == -1);
        fprintf(stderr, "%s: error %d\n", argv[1], error);
        return error == ENOSYS ? NO_FUNCTION : NOT_STARTED;
    }
    CHECK(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
    siginfo_t end = {.si_pid = 0};
    CHECK(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &end, WEXITED) == 0);
    CHECK(end.si_code == CLD_EXITED);
    return end.si_status;
}
