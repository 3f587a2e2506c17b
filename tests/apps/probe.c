/* Makes one connect and prints its result in a line for scripts: "ok", or the name of the errno. With the third
 * argument "nonblock" it uses poll and SO_ERROR. With "read" it prints the first octets that the peer sends. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    const char *how = argc > 3 ? argv[3] : "";
    bool nonblock = strcmp(how, "nonblock") == 0;
    int fd = tcp_socket(&p, nonblock ? SOCK_NONBLOCK : 0);
    int error = connect(fd, peer_addr(&p), p.len) == 0 ? 0 : errno;
    if (nonblock && error == EINPROGRESS) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        if (poll(&pfd, 1, 30000) != 1)
            FAIL("never ready");
        error = so_error(fd);
    }
    printf("%s\n", error ? strerrorname_np(error) : "ok");
    fflush(stdout);
    if (error == 0 && strcmp(how, "read") == 0) {
        char text[256];
        ssize_t n = read(fd, text, sizeof(text));
        if (n > 0)
            CHECK(write(1, text, (size_t)n) == n);
    }
    return 0;
}
