/* Closes every descriptor above 2 in the three possible ways and then connects. Does so again after an exec. */
#include "app.h"

static void check_connect(const struct peer *p)
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
        check_connect(&p);
        return 0;
    }
    for (int fd = 3; fd < 70000; fd++)
        close(fd);
    check_connect(&p);
    closefrom(3);
    check_connect(&p);
    int held = tcp_connect(&p);
    CHECK(close_range(3, ~0U, 0) == 0);
    CHECK(fcntl(held, F_GETFD) == -1 && errno == EBADF);
    check_connect(&p);
    CHECK(close_range(3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) == 0);
    check_connect(&p);
    execl("/proc/self/exe", argv[0], argv[1], argv[2], "again", (char *)NULL);
    FAIL("exec");
}
