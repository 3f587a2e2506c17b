/* A fixed number of writes, reads, sends, receives and waits on one connection, so that system calls can be
 * counted. */
#include "app.h"
#include <sys/epoll.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int ep = epoll_create1(0), fd = tcp_begin(&p);
    struct epoll_event e = {.events = EPOLLIN}, got;
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    CHECK(write(2, "READY\n", 6) == 6);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    for (int i = 0; i < 100; i++) {
        char c;
        CHECK((i & 1 ? write(fd, "x", 1) : send(fd, "x", 1, 0)) == 1);
        CHECK(epoll_wait(ep, &got, 1, 20000) == 1);
        CHECK((i & 2 ? read(fd, &c, 1) : recv(fd, &c, 1, 0)) == 1);
    }
    close(fd);
    return 0;
}
