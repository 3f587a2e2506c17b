/* Registered edge-triggered before connect, as boost.asio and java.nio do. There is one EPOLLOUT edge when the
 * connection is established, and no other for 300 ms after it. */
#include "app.h"
#include <sys/epoll.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int ep = epoll_create1(0), fd = tcp_socket(&p, SOCK_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = 0x1122334455667788};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    epoll_wait(ep, &e, 1, 0); /* an unconnected socket reports EPOLLOUT | EPOLLHUP */
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == EINPROGRESS);

    int edges = 0;
    for (int64_t end = now_us() + 20000000; now_us() < end;) {
        struct epoll_event got[4];
        int n = epoll_wait(ep, got, 4, edges ? 300 : 1000);
        CHECK(n >= 0 && n <= 1);
        if (n == 0 && edges)
            break;
        if (n == 0)
            continue;
        CHECK(got[0].data.u64 == 0x1122334455667788);
        if (got[0].events != EPOLLOUT)
            FAIL("events %#x", got[0].events);
        CHECK(so_error(fd) == 0);
        check_names(fd, &p);
        edges++;
    }
    if (edges != 1)
        FAIL("%d edges", edges);
    CHECK(write(fd, "edge", 4) == 4);
    struct epoll_event in;
    CHECK(epoll_wait(ep, &in, 1, 20000) == 1 && (in.events & EPOLLIN));
    char back[8];
    CHECK(read(fd, back, 8) == 4 && memcmp(back, "edge", 4) == 0);
    return 0;
}
