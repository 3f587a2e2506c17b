/* Registered after connect: level- and edge-triggered, one-shot, in two instances, through a duplicate, in a
 * nested instance, with epoll_pwait and epoll_pwait2. */
#include "app.h"
#include <sys/epoll.h>

static void add_fd(int ep, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

static int wait_for_event(int ep, struct epoll_event *got, int how, int ms)
{
    struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
    if (how == 1)
        return epoll_pwait(ep, got, 1, ms, NULL);
    return how == 2 ? epoll_pwait2(ep, got, 1, &limit, NULL) : epoll_wait(ep, got, 1, ms);
}

static void check_mode(const struct peer *p, uint32_t mode, int how)
{
    int ep = epoll_create1(0), fd = tcp_begin(p);
    struct epoll_event got = {0};
    add_fd(ep, fd, EPOLLOUT | EPOLLIN | mode);
    CHECK(wait_for_event(ep, &got, how, 20000) == 1);
    if (got.data.fd != fd || got.events != EPOLLOUT)
        FAIL("mode %#x: events %#x", mode, got.events);
    CHECK(so_error(fd) == 0);
    int n = wait_for_event(ep, &got, how, 100);
    if (n != (mode == 0))
        FAIL("mode %#x: %d events more", mode, n);
    if (mode & EPOLLONESHOT) {
        struct epoll_event e = {.events = EPOLLOUT | EPOLLONESHOT, .data.fd = fd};
        CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0 && wait_for_event(ep, &got, how, 1000) == 1);
    }
    check_names(fd, p);
    echo(fd, "after");
    close(fd);
    close(ep);
}

static void check_instances(const struct peer *p)
{
    int a = epoll_create1(0), b = epoll_create1(0), outer = epoll_create1(0), fd = tcp_begin(p);
    int twin = dup(fd);
    struct epoll_event got;
    CHECK(twin >= 0);
    add_fd(a, fd, EPOLLOUT);
    add_fd(b, twin, EPOLLOUT | EPOLLET);
    add_fd(outer, b, EPOLLIN);
    int n = 0;
    for (int64_t end = now_us() + 20000000; n == 0 && now_us() < end;) {
        /* A wake-up of the outer instance without an event in the inner one is allowed, as any spurious wake-up
         * is. */
        CHECK(epoll_wait(outer, &got, 1, 20000) == 1 && got.data.fd == b);
        n = epoll_wait(b, &got, 1, 0);
    }
    CHECK(n == 1);
    if (got.data.fd != twin || got.events != EPOLLOUT)
        FAIL("the twin: events %#x", got.events);
    CHECK(epoll_wait(a, &got, 1, 1000) == 1 && got.data.fd == fd && got.events == EPOLLOUT);
    CHECK(so_error(twin) == 0);
    check_names(twin, p);
    close(fd);
    echo(twin, "twin");
    close(twin);
    close(a);
    close(b);
    close(outer);
}

/* The registration is modified and deleted while the connection is in flight. */
static void check_changes(const struct peer *p)
{
    int ep = epoll_create1(0), fd = tcp_begin(p);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd}, got;
    add_fd(ep, fd, EPOLLOUT);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == -1 && errno == EEXIST);
    CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0);
    CHECK(epoll_wait(ep, &got, 1, 1500) == 0); /* nothing to read */
    CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0);
    CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == -1 && errno == ENOENT);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    echo(fd, "changed");
    close(fd);
    close(ep);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    check_mode(&p, 0, 0);
    check_mode(&p, EPOLLET, 0);
    check_mode(&p, EPOLLONESHOT, 0);
    check_mode(&p, EPOLLET, 1);
    check_mode(&p, 0, 2);
    check_instances(&p);
    check_changes(&p);
    return 0;
}
