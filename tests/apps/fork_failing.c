/* Forks that fail, by each of libc's ways, while a connect is under way: nothing is left of it afterwards. There are
 * more of them than there can be connections under way. */
#include "app.h"
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { MORE_THAN_THERE_CAN_BE = 17000 };

static int nothing(void *arg)
{
    return arg != NULL;
}

static long attempt(int way)
{
    static char stack[16384] __attribute__((aligned(16)));
    switch (way) {
    case 0: return fork();
    case 1: return _Fork();
    case 2: return clone(nothing, stack + sizeof stack, SIGCHLD, NULL);
    default: return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    }
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    struct rlimit none = {0, 0};
    CHECK(getuid() != 0); /* whom no limit holds */
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    for (int i = 0; i < MORE_THAN_THERE_CAN_BE; i++) {
        int fd = tcp_begin(&p);
        for (int way = 0; way < 4; way++)
            CHECK(attempt(way) < 0 && errno == EAGAIN);
        close(fd);
    }
    return 0;
}
