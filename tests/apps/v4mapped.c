/* An AF_INET6 socket connects to an IPv4 address in its mapped form, and getpeername() returns the same form. */
#include "app.h"

int main(int argc, char **argv)
{
    char mapped[64];
    if (argc < 3)
        FAIL("usage: %s HOST PORT", argv[0]);
    snprintf(mapped, sizeof(mapped), "::ffff:%s", argv[1]);
    struct peer p = peer_of(mapped, argv[2]);
    int fd = tcp_connect(&p);
    check_names(fd, &p);
    echo(fd, "mapped");
    close(fd);
    fd = tcp_begin(&p);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &p);
    echo(fd, "mapped");
    return 0;
}
