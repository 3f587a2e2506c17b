/* connect, write, read. Checks the addresses of both ends. A second connect returns EISCONN. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_connect(&p);
    check_names(fd, &p);
    CHECK(so_error(fd) == 0);
    echo(fd, "blocking");
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == EISCONN);
    echo(fd, "and again");
    CHECK(shutdown(fd, SHUT_WR) == 0);
    char c;
    CHECK(read(fd, &c, 1) == 0);
    CHECK(close(fd) == 0);
    return 0;
}
