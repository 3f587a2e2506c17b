/* Several threads, and a child that shares the socket, wait for one connect with poll and select. Each of them
 * must be woken at its end. */
#include "app.h"
#include <pthread.h>
#include <sys/select.h>

#define WAITERS 6

static void wait_some_way(int fd, int way)
{
    if (way & 1) {
        struct timeval limit = {20, 0};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        CHECK(select(fd + 1, NULL, &set, NULL, &limit) == 1);
    } else {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        CHECK(poll(&p, 1, 20000) == 1 && p.revents == POLLOUT);
    }
}

struct waiter {
    pthread_t thread;
    int fd, way;
};

static void *wait_in_thread(void *arg)
{
    const struct waiter *w = arg;
    wait_some_way(w->fd, w->way);
    return NULL;
}

static void by_threads(const struct peer *p)
{
    int fd = tcp_begin(p);
    struct waiter waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.fd = fd, .way = i};
        CHECK(pthread_create(&waiters[i].thread, NULL, wait_in_thread, &waiters[i]) == 0);
    }
    for (int i = 0; i < WAITERS; i++)
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
    echo(fd, "threads");
    close(fd);
}

static void by_processes(const struct peer *p, int way)
{
    int fd = tcp_begin(p);
    pid_t pid = fork();
    wait_some_way(fd, way);
    if (pid == 0)
        exit(0);
    child_ends(pid);
    echo(fd, "processes");
    close(fd);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int way = 0; way < 2; way++)
        by_processes(&p, way);
    for (int round = 0; round < 5; round++)
        by_threads(&p);
    return 0;
}
