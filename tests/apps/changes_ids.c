/* A process changes its user and group IDs, to its present ones or to others (which is refused), by every
 * function and system call. Afterwards it can still connect, and a connection in flight is still established. So
 * is one that it shares with its parent. */
#include "app.h"
#include <sys/syscall.h>

enum call { SETUID, SETEUID, SETREUID, SETRESUID, SETGID, SETEGID, SETREGID, SETRESGID, CALLS };

static int change_id(enum call call, unsigned id, bool by_number)
{
    if (by_number)
        switch (call) {
        case SETUID: return (int)syscall(SYS_setuid, id);
        case SETREUID: return (int)syscall(SYS_setreuid, id, id);
        case SETRESUID: return (int)syscall(SYS_setresuid, id, id, id);
        case SETGID: return (int)syscall(SYS_setgid, id);
        case SETREGID: return (int)syscall(SYS_setregid, id, id);
        case SETRESGID: return (int)syscall(SYS_setresgid, id, id, id);
        default: break; /* no system call of its own */
        }
    switch (call) {
    case SETUID: return setuid(id);
    case SETEUID: return seteuid(id);
    case SETREUID: return setreuid(id, id);
    case SETRESUID: return setresuid(id, id, id);
    case SETGID: return setgid(id);
    case SETEGID: return setegid(id);
    case SETREGID: return setregid(id, id);
    default: return setresgid(id, id, id);
    }
}

static void check_echo(const struct peer *p)
{
    int fd = tcp_connect(p);
    check_names(fd, p);
    echo(fd, "as who it was");
    close(fd);
}

/* SHARED was begun by the parent, which also finishes it. */
static void run_child(const struct peer *p, enum call call, bool by_number, int shared)
{
    unsigned own = call < SETGID ? getuid() : getgid();
    int begun = tcp_begin(p);
    CHECK(change_id(call, own, by_number) == 0);
    CHECK((call < SETGID ? geteuid() : getegid()) == own);
    check_echo(p);
    if (geteuid() != 0) {
        CHECK(change_id(call, own + 1, by_number) == -1 && errno == EPERM);
        check_echo(p);
    }
    wait_for(begun, POLLOUT);
    CHECK(so_error(begun) == 0);
    echo(begun, "begun before");
    wait_for(shared, POLLOUT);
    CHECK(so_error(shared) == 0);
    exit(0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int by_number = 0; by_number < 2; by_number++)
        for (enum call call = SETUID; call < CALLS; call++) {
            int shared = tcp_begin(&p);
            pid_t pid = fork();
            if (pid == 0)
                run_child(&p, call, by_number, shared);
            child_ends(pid);
            wait_for(shared, POLLOUT);
            CHECK(so_error(shared) == 0);
            echo(shared, "shared");
            close(shared);
        }
    check_echo(&p);
    return 0;
}
