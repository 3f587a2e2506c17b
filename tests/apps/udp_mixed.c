/* One socket sends datagrams to an echo service and to a neighbour, a socket on this machine. Also checks invalid
 * destinations, and several sends that form one datagram. */
#include "app.h"

static struct peer target, here;

static int udp_socket(int family)
{
    struct timeval limit = {10, 0};
    int fd = socket(family, SOCK_DGRAM, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    return fd;
}

static void expect_datagram(int fd, const char *text, const struct peer *from)
{
    char back[64];
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    ssize_t n = recvfrom(fd, back, sizeof back, 0, (struct sockaddr *)&a, &len);
    if (n != (ssize_t)strlen(text) || memcmp(back, text, strlen(text)) != 0)
        FAIL("\"%.*s\", not \"%s\"", (int)(n > 0 ? n : 0), back, text);
    CHECK(len == from->len && memcmp(&a, &from->addr, 8) == 0);
}

static struct mmsghdr make_message(struct iovec *iov, const struct peer *to)
{
    struct mmsghdr m = {.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}};
    if (to) {
        m.msg_hdr.msg_name = (void *)(uintptr_t)&to->addr;
        m.msg_hdr.msg_namelen = to->len;
    }
    return m;
}

/* Sends several at once, one of them to the neighbour, which answers. */
static void check_mixed(int neighbour)
{
    struct iovec iov[3] = {{(void *)"one", 3}, {(void *)"two", 3}, {(void *)"three", 5}};
    struct mmsghdr m[3] = {make_message(&iov[0], &target), make_message(&iov[1], &here),
                           make_message(&iov[2], &target)};
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char buf[8];
    int fd = udp_socket(AF_INET);
    for (int sent = 0; sent < 3;) {
        int n = sendmmsg(fd, m + sent, (unsigned)(3 - sent), 0);
        CHECK(n > 0);
        sent += n;
    }
    CHECK(recvfrom(neighbour, buf, sizeof buf, 0, (struct sockaddr *)&a, &len) == 3);
    CHECK(memcmp(buf, "two", 3) == 0 && m[0].msg_len == 3 && m[2].msg_len == 5);
    expect_datagram(fd, "one", &target);
    expect_datagram(fd, "three", &target);
    CHECK(sendto(neighbour, "near", 4, 0, (struct sockaddr *)&a, len) == 4);
    expect_datagram(fd, "near", &here);
    CHECK(sendto(fd, "again", 5, 0, peer_addr(&target), target.len) == 5);
    expect_datagram(fd, "again", &target);
    close(fd);
}

static void check_invalid(void)
{
    static char long_one[70000];
    struct sockaddr_in6 other = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    struct iovec iov[2] = {{(void *)"good", 4}, {(void *)"nowhere", 7}};
    struct mmsghdr m[2] = {make_message(&iov[0], &target), make_message(&iov[1], NULL)};
    int fd = udp_socket(AF_INET);
    for (int begun = 0; begun < 2; begun++) {
        CHECK(sendto(fd, "x", 1, 0, peer_addr(&target), 7) == -1 && errno == EINVAL);
        CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&other, sizeof other) == -1 &&
              errno == EAFNOSUPPORT);
        CHECK(sendto(fd, long_one, sizeof long_one, 0, peer_addr(&target), target.len) == -1 &&
              errno == EMSGSIZE);
        CHECK(sendmmsg(fd, m + 1, 1, 0) == -1 && errno == EDESTADDRREQ);
        CHECK(sendmmsg(fd, m, 2, 0) == 1);
        expect_datagram(fd, "good", &target);
        CHECK(recvmmsg(fd, m, 2, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
        CHECK(sendmmsg(fd, m, 0, 0) == 0);
    }
    close(fd);
}

/* Sends with MSG_MORE form one datagram. */
static void check_parts(void)
{
    int fd = udp_socket(AF_INET);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    CHECK(send(fd, "in ", 3, MSG_MORE) == 3 && send(fd, "two ", 4, MSG_MORE) == 4);
    CHECK(send(fd, "or three", 8, 0) == 8);
    expect_datagram(fd, "in two or three", &target);
    CHECK(send(fd, "alone", 5, 0) == 5);
    expect_datagram(fd, "alone", &target);
    close(fd);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    here = peer_of("127.0.0.1", "0");
    int neighbour = udp_socket(AF_INET);
    CHECK(bind(neighbour, peer_addr(&here), here.len) == 0);
    CHECK(getsockname(neighbour, (struct sockaddr *)&here.addr, &here.len) == 0);
    check_mixed(neighbour);
    check_invalid();
    check_parts();
    return 0;
}
