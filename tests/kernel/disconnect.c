/* A socket that was disconnected with connect(AF_UNSPEC) connects again as the same open file description. Its options,
 * the port it was bound to by number and its epoll registrations are kept. EPOLL_CTL_MOD re-arms an edge, which is
 * reported exactly once. The disconnect may leave ECONNRESET pending, once. */
#include "kernel.h"
#include <sys/epoll.h>

int main(void)
{
    struct sockaddr_in to, own;
    close(listen_on(&own)); /* a free port, which is then bound by number */
    int listener = listen_on(&to), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int ep = epoll_create1(0), on = 1, got = 0;
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET, .data.u32 = 7}, seen;
    socklen_t len;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
    CHECK(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    uint64_t cookie = get_cookie(fd);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    connect_and_wait(fd, &to);
    close(accept(listener, NULL, NULL));

    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK(connect(fd, &none, sizeof none) == 0);
    CHECK(get_error(fd) == ECONNRESET || get_error(fd) == 0);
    CHECK(get_error(fd) == 0);
    connect_and_wait(fd, &to);
    CHECK(get_cookie(fd) == cookie);
    len = sizeof got;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &got, &len) == 0 && got);
    struct sockaddr_in now;
    len = sizeof now;
    CHECK(getsockname(fd, (struct sockaddr *)&now, &len) == 0 && now.sin_port == own.sin_port);
    while (epoll_wait(ep, &seen, 1, 0) > 0)
        ;
    CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0);
    CHECK(epoll_wait(ep, &seen, 1, 1000) == 1 && seen.data.u32 == 7 && seen.events == EPOLLOUT);
    CHECK(epoll_wait(ep, &seen, 1, 0) == 0);
    return 0;
}
