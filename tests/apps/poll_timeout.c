/* The target stalls. poll, select and epoll_wait return 0 after their time-outs. */
#include "app.h"
#include <sys/epoll.h>
#include <sys/select.h>

static void check_duration(int64_t since, const char *what)
{
    int64_t ms = (now_us() - since) / 1000;
    if (ms < 450 || ms > 5000)
        FAIL("%s took %lld ms", what, (long long)ms);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_begin(&p), ep = epoll_create1(0);
    struct pollfd pfd = {.fd = fd, .events = POLLIN | POLLOUT};
    int64_t since = now_us();
    CHECK(poll(&pfd, 1, 0) == 0);
    CHECK(poll(&pfd, 1, 1000) == 0);
    check_duration(since, "poll");
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    struct timeval limit = {0, 500000};
    since = now_us();
    CHECK(select(fd + 1, &in, &out, NULL, &limit) == 0 && !FD_ISSET(fd, &out) && !FD_ISSET(fd, &in));
    check_duration(since, "select");
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT}, got;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    since = now_us();
    CHECK(epoll_wait(ep, &got, 1, 500) == 0);
    check_duration(since, "epoll_wait");
    CHECK(so_error(fd) == 0);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == EALREADY);
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    CHECK(getpeername(fd, (struct sockaddr *)&a, &len) == -1 && errno == ENOTCONN);
    CHECK(close(fd) == 0);
    CHECK(epoll_wait(ep, &got, 1, 100) == 0);
    return 0;
}
