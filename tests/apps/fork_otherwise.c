/* A connect is started and the process is copied in a way that runs no fork handlers of libc. The parent closes
 * its descriptor and the child finishes the connection. */
#include "app.h"
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static struct peer p;
static int fd;
static _Atomic int *child_runs; /* 1: the child runs */

static int run_child(void *unused)
{
    struct pollfd now = {fd, POLLOUT, 0};
    poll(&now, 1, 0);
    CHECK(unused == NULL);
    atomic_store(child_runs, 1);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &p);
    echo(fd, "the child finished it");
    _exit(0);
}

/* Forks without libc, on x86-64. */
static long bare_fork(void)
{
#ifdef __x86_64__
    long ret = SYS_fork;
    __asm__ volatile("syscall" : "+a"(ret) : : "rcx", "r11", "memory");
    return ret;
#else
    return _Fork();
#endif
}

static long copy_process(int way)
{
    static char stack[256 << 10] __attribute__((aligned(16)));
    switch (way) {
    case 0: return _Fork();
    case 1: return clone(run_child, stack + sizeof stack, SIGCHLD, NULL);
    case 2: return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#ifdef SYS_fork
    case 3: return syscall(SYS_fork);
#else
    case 3: return _Fork();
#endif
    default: return bare_fork();
    }
}

int main(int argc, char **argv)
{
    p = peer_from(argc, argv);
    child_runs = mmap(NULL, sizeof *child_runs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(child_runs != MAP_FAILED);
    for (int way = 0; way < 5; way++) {
        atomic_store(child_runs, 0);
        fd = tcp_begin(&p);
        long pid = copy_process(way);
        if (pid == 0)
            run_child(NULL);
        if (pid < 0)
            FAIL("way %d", way);
        while (way == 4 && !atomic_load(child_runs)) /* no hook sees this fork: the parent holds it */
            usleep(1000);
        close(fd);
        child_ends((pid_t)pid);
    }
    return 0;
}
