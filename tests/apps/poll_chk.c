/* Built with _FORTIFY_SOURCE: poll, ppoll and recv become __poll_chk, __ppoll_chk and __recv_chk. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int round = 0; round < 2; round++) {
        int fd = tcp_begin(&p);
        struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT}, {.fd = -1}};
        volatile nfds_t n = 2;
        struct timespec limit = {20, 0};
        CHECK((round ? ppoll(fds, n, &limit, NULL) : poll(fds, n, 20000)) == 1);
        CHECK(fds[0].revents == POLLOUT && so_error(fd) == 0);
        CHECK(write(fd, "fortified", 9) == 9);
        char back[16];
        volatile size_t size = sizeof(back);
        wait_for(fd, POLLIN);
        CHECK(recv(fd, back, size, 0) == 9 && memcmp(back, "fortified", 9) == 0);
        close(fd);
    }
    return 0;
}
