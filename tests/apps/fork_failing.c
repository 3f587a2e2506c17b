/* Fork attempts that fail, by each function of libc, while a connect is in flight. They must leave nothing
 * behind. They are repeated more often than there can be connections in flight. */
#include "app.h"
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { MORE_THAN_THERE_CAN_BE = 17000 };

static int return_status(void *arg)
{
    return arg != NULL;
}

static long try_fork(int way)
{
    static char stack[16384] __attribute__((aligned(16)));
    switch (way) {
    case 0: return fork();
    case 1: return _Fork();
    case 2: return clone(return_status, stack + sizeof stack, SIGCHLD, NULL);
    default: return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    }
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    struct rlimit none = {0, 0};
    CHECK(getuid() != 0); /* the limit does not apply to root */
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    for (int i = 0; i < MORE_THAN_THERE_CAN_BE; i++) {
        int fd = tcp_begin(&p);
        for (int way = 0; way < 4; way++)
            CHECK(try_fork(way) < 0 && errno == EAGAIN);
        close(fd);
    }
    return 0;
}
