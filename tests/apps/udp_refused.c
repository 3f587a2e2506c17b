/* UDP on loopback works. With the third argument "refused", UDP to the target fails with EOPNOTSUPP. */
#include "app.h"

static void check_loopback(void)
{
    struct peer me = peer_of("127.0.0.1", "0");
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    char c[8];
    CHECK(bind(in, peer_addr(&me), me.len) == 0);
    CHECK(getsockname(in, (struct sockaddr *)&me.addr, &me.len) == 0);
    CHECK(sendto(out, "to", 2, 0, peer_addr(&me), me.len) == 2);
    CHECK(recv(in, c, 8, 0) == 2);
    CHECK(connect(out, peer_addr(&me), me.len) == 0 && send(out, "connected", 9, 0) == 9);
    CHECK(recv(in, c, 8, 0) == 8);
}

#define REFUSED(call) CHECK((call) == -1 && errno == EOPNOTSUPP)

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    check_loopback();
    if (argc < 4)
        return 0;
    int fd = socket(p.family, SOCK_DGRAM, 0);
    struct iovec iov = {(void *)"x", 1};
    struct mmsghdr m = {.msg_hdr = {.msg_name = &p.addr, .msg_namelen = p.len, .msg_iov = &iov,
                                    .msg_iovlen = 1}};
    REFUSED(sendto(fd, "x", 1, 0, peer_addr(&p), p.len));
    REFUSED(sendmsg(fd, &m.msg_hdr, 0));
    REFUSED(sendmmsg(fd, &m, 1, 0));
    REFUSED(connect(fd, peer_addr(&p), p.len));
    CHECK(send(fd, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    return 0;
}
