/* The target stalls. Nothing can be sent, received or polled on the connecting socket. */
#include "app.h"
#include <signal.h>

#define AGAIN(call) CHECK((call) == -1 && errno == EAGAIN)

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_begin(&p);
    char c[4];
    for (int i = 0; i < 3; i++) {
        AGAIN(send(fd, "early", 5, MSG_NOSIGNAL));
        AGAIN(write(fd, "early", 5));
        AGAIN(recv(fd, c, 4, 0));
        AGAIN(read(fd, c, 4));
        AGAIN(recv(fd, c, 4, MSG_PEEK));
        CHECK(so_error(fd) == 0);
        CHECK(poll(&(struct pollfd){.fd = fd, .events = POLLOUT | POLLIN}, 1, 200) == 0);
    }
    return 0;
}
