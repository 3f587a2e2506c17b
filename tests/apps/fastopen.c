/* The three forms of TCP Fast Open. */
#include "app.h"

static void expect_text(int fd, const char *text)
{
    char back[32];
    size_t got = 0, n = strlen(text);
    while (got < n) {
        ssize_t r = read(fd, back + got, sizeof(back) - got);
        if (r <= 0)
            FAIL("read returned %zd", r);
        got += (size_t)r;
    }
    CHECK(got == n && memcmp(back, text, n) == 0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_socket(&p, 0);
    CHECK(sendto(fd, "sendto", 6, MSG_FASTOPEN, peer_addr(&p), p.len) == 6);
    expect_text(fd, "sendto");
    check_names(fd, &p);
    close(fd);

    fd = tcp_socket(&p, 0);
    struct sockaddr_in unspecified = {.sin_family = AF_UNSPEC};
    CHECK(sendto(fd, "nobody", 6, MSG_FASTOPEN, (struct sockaddr *)&unspecified, sizeof unspecified) == -1 &&
          errno == EOPNOTSUPP);
    close(fd);

    fd = tcp_socket(&p, 0);
    struct iovec iov[2] = {{(void *)"send", 4}, {(void *)"msg", 3}};
    struct msghdr msg = {.msg_name = &p.addr, .msg_namelen = p.len, .msg_iov = iov, .msg_iovlen = 2};
    CHECK(sendmsg(fd, &msg, MSG_FASTOPEN) == 7);
    expect_text(fd, "sendmsg");
    check_names(fd, &p);
    close(fd);

    fd = tcp_socket(&p, 0);
    struct mmsghdr two[2] = {{.msg_hdr = msg}, {.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}}};
    CHECK(sendmmsg(fd, two, 1, MSG_FASTOPEN) == 1 && two[0].msg_len == 7);
    expect_text(fd, "sendmsg");
    CHECK(sendmmsg(fd, two + 1, 1, 0) == 1 && two[1].msg_len == 4);
    expect_text(fd, "send");
    check_names(fd, &p);
    close(fd);

    fd = tcp_socket(&p, 0);
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) == 0) {
        CHECK(connect(fd, peer_addr(&p), p.len) == 0);
        CHECK(write(fd, "option", 6) == 6);
        expect_text(fd, "option");
        check_names(fd, &p);
    }
    return 0;
}
