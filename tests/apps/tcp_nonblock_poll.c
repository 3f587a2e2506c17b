/* A non-blocking connect that is waited for with poll and ppoll, among other descriptors. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    for (int round = 0; round < 4; round++) {
        int fd = tcp_begin(&p);
        struct pollfd fds[3] = {{.fd = pipes[0], .events = POLLIN}, {.fd = -1, .events = POLLIN},
                                {.fd = fd, .events = round & 1 ? POLLOUT | POLLIN : POLLOUT}};
        struct timespec limit = {20, 0};
        int n = round & 2 ? ppoll(fds, 3, &limit, NULL) : poll(fds, 3, 20000);
        if (n != 1 || fds[0].revents || fds[1].revents || fds[2].revents != POLLOUT)
            FAIL("poll returned %d, %#x", n, (unsigned)fds[2].revents);
        CHECK(so_error(fd) == 0);
        check_names(fd, &p);
        int again = connect(fd, peer_addr(&p), p.len);
        CHECK(again == 0 || errno == EISCONN);
        echo(fd, "polled");
        close(fd);
    }
    return 0;
}
