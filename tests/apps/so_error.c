/* The target refuses the connection. SO_ERROR returns the error once. A second connect, or a blocking one,
 * returns it as its result. */
#include "app.h"
#include <sys/epoll.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_begin(&p);
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    CHECK(poll(&pfd, 1, 20000) == 1);
    if ((pfd.revents & (POLLERR | POLLHUP | POLLOUT)) != (POLLERR | POLLHUP | POLLOUT))
        FAIL("revents %#x", (unsigned)pfd.revents);
    int error = so_error(fd);
    if (error != ECONNREFUSED)
        FAIL("SO_ERROR is %d", error);
    CHECK(so_error(fd) == 0);
    close(fd);

    fd = tcp_begin(&p);
    pfd.fd = fd;
    CHECK(poll(&pfd, 1, 20000) == 1);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == ECONNREFUSED);
    CHECK(so_error(fd) == 0);
    close(fd);

    int ep = epoll_create1(0);
    fd = tcp_begin(&p);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET, .data.u32 = 9}, got;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    CHECK(epoll_wait(ep, &got, 1, 20000) == 1 && got.data.u32 == 9);
    if ((got.events & (EPOLLERR | EPOLLHUP | EPOLLOUT)) != (EPOLLERR | EPOLLHUP | EPOLLOUT))
        FAIL("events %#x", got.events);
    CHECK(so_error(fd) == ECONNREFUSED);
    close(fd);

    fd = tcp_socket(&p, 0);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == ECONNREFUSED);
    CHECK(so_error(fd) == 0);
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    CHECK(getpeername(fd, (struct sockaddr *)&a, &len) == -1 && errno == ENOTCONN);
    return 0;
}
