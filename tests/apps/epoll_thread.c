/* One thread waits in epoll_wait() without a time-out before another thread starts the connect. The first thread
 * must wake up. */
#include "app.h"
#include <pthread.h>
#include <sys/epoll.h>

static int ep, fd;

static void *wait_in_epoll(void *unused)
{
    (void)unused;
    for (;;) {
        struct epoll_event got;
        int n = epoll_wait(ep, &got, 1, -1);
        CHECK(n == 1);
        if (got.data.u64 != 77)
            FAIL("data of another registration: %llu", (unsigned long long)got.data.u64);
        if (got.events == EPOLLOUT)
            return NULL;
        /* an unconnected socket, registered but not yet connecting */
        if (got.events != (EPOLLOUT | EPOLLHUP))
            FAIL("events %#x, SO_ERROR %d", got.events, so_error(fd));
    }
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    fd = tcp_socket(&p, SOCK_NONBLOCK);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET, .data.u64 = 77};
    pthread_t thread;
    ep = epoll_create1(0);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    CHECK(pthread_create(&thread, NULL, wait_in_epoll, NULL) == 0);
    usleep(200000);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == EINPROGRESS);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(so_error(fd) == 0);
    check_names(fd, &p);
    echo(fd, "woken");
    return 0;
}
