/* Closes every descriptor above 2, in the three ways there are, and connects; also in a child. */
#include "app.h"

static void once(const struct peer *p)
{
    int fd = tcp_connect(p);
    CHECK(fd == 3);
    check_names(fd, p);
    echo(fd, "after closing all");
    close(fd);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    if (argc > 3) {
        once(&p);
        return 0;
    }
    for (int fd = 3; fd < 70000; fd++)
        close(fd);
    once(&p);
    closefrom(3);
    once(&p);
    int held = tcp_connect(&p);
    CHECK(close_range(3, ~0U, 0) == 0);
    CHECK(fcntl(held, F_GETFD) == -1 && errno == EBADF);
    once(&p);
    CHECK(close_range(3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) == 0);
    once(&p);
    execl("/proc/self/exe", argv[0], argv[1], argv[2], "again", (char *)NULL);
    FAIL("exec");
}
