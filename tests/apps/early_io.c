/* Receiving right after EINPROGRESS fails with EAGAIN. What is received later contains only the octets of the
 * peer. */
#include "app.h"
#include <sys/uio.h>

#define AGAIN(call) CHECK((call) == -1 && errno == EAGAIN)

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int i = 0; i < 10; i++) {
        int fd = tcp_begin(&p);
        char c[4];
        struct iovec in = {c, 4};
        struct msghdr msg = {.msg_iov = &in, .msg_iovlen = 1};
        AGAIN(recv(fd, c, 4, 0));
        AGAIN(recv(fd, c, 4, MSG_PEEK));
        AGAIN(read(fd, c, 4));
        AGAIN(readv(fd, &in, 1));
        AGAIN(recvmsg(fd, &msg, 0));
        wait_for(fd, POLLOUT);
        CHECK(so_error(fd) == 0);
        AGAIN(recv(fd, c, 4, MSG_DONTWAIT));
        echo(fd, "only this");
        close(fd);
    }
    return 0;
}
