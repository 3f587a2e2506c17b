/* Exchanges datagrams with an echo service, by every call for datagrams. The third argument is the number of
 * octets of the header in front of each datagram, by which the largest size is reduced. */
#include "app.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static struct peer target, other;
static int overhead;

static bool is_from(const struct sockaddr_storage *a, socklen_t len, const struct peer *p)
{
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in *p4 = (const struct sockaddr_in *)&p->addr;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
    const struct sockaddr_in6 *p6 = (const struct sockaddr_in6 *)&p->addr;
    if (len != p->len || a->ss_family != p->family || a4->sin_port != p4->sin_port)
        return false;
    return p->family == AF_INET ? a4->sin_addr.s_addr == p4->sin_addr.s_addr
                                : memcmp(&a6->sin6_addr, &p6->sin6_addr, 16) == 0;
}

static int udp_socket(void)
{
    struct timeval limit = {10, 0};
    int fd = socket(target.family, SOCK_DGRAM, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    return fd;
}

static void expect_datagram(int fd, const struct peer *from, const char *text)
{
    char back[256];
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    ssize_t n = recvfrom(fd, back, sizeof back, 0, (struct sockaddr *)&a, &len);
    if (n != (ssize_t)strlen(text) || memcmp(back, text, strlen(text)) != 0)
        FAIL("%zd octets, not \"%s\"", n, text);
    CHECK(is_from(&a, len, from));
}

/* One socket and two destinations. Its local address must not change. */
static void check_unconnected(void)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    int fd = udp_socket();
    CHECK(sendto(fd, "first", 5, 0, peer_addr(&target), target.len) == 5);
    expect_datagram(fd, &target, "first");
    CHECK(sendto(fd, "second", 6, 0, peer_addr(&other), other.len) == 6);
    expect_datagram(fd, &other, "second");
    CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0 && len == target.len);
    CHECK(((struct sockaddr_in *)&a)->sin_port != 0);
    CHECK(target.family == AF_INET ? ((struct sockaddr_in *)&a)->sin_addr.s_addr == 0
                                   : IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&a)->sin6_addr));
    CHECK(getpeername(fd, (struct sockaddr *)&a, &len) == -1 && errno == ENOTCONN);
    CHECK(send(fd, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(write(fd, "x", 1) == -1 && errno == EDESTADDRREQ);
    CHECK(recv(fd, &a, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(fd);
}

static void check_connected(void)
{
    char a[8], b[8];
    struct iovec iov[2] = {{(void *)"by ", 3}, {(void *)"writev", 6}}, in[2] = {{a, 4}, {b, 8}};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int fd = udp_socket(), n = -1;
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    check_names(fd, &target);
    CHECK(write(fd, "by write", 8) == 8);
    CHECK(read(fd, a, 8) == 8 && memcmp(a, "by write", 8) == 0);
    CHECK(writev(fd, iov, 2) == 9);
    CHECK(readv(fd, in, 2) == 9 && memcmp(a, "by w", 4) == 0 && memcmp(b, "ritev", 5) == 0);
    CHECK(send(fd, "12345678", 8, 0) == 8);
    wait_for(fd, POLLIN);
    CHECK(ioctl(fd, FIONREAD, &n) == 0 && n == 8);
    CHECK(recv(fd, a, 3, MSG_PEEK) == 3 && recv(fd, a, 3, MSG_PEEK | MSG_TRUNC) == 8);
    CHECK(recv(fd, a, 3, 0) == 3 && memcmp(a, "123", 3) == 0);
    CHECK(recv(fd, a, 3, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(ioctl(fd, FIONREAD, &n) == 0 && n == 0);
    /* Another peer, an explicit destination afterwards, and no peer. */
    CHECK(connect(fd, peer_addr(&other), other.len) == 0);
    check_names(fd, &other);
    CHECK(send(fd, "moved", 5, MSG_CONFIRM) == 5);
    expect_datagram(fd, &other, "moved");
    CHECK(connect(fd, &none, sizeof none) == 0);
    CHECK(getpeername(fd, (struct sockaddr *)&sa, &len) == -1 && errno == ENOTCONN);
    CHECK(send(fd, "x", 1, 0) == -1 && errno == EDESTADDRREQ);
    CHECK(sendto(fd, "free", 4, 0, peer_addr(&target), target.len) == 4);
    expect_datagram(fd, &target, "free");
    close(fd);
}

static void check_messages(void)
{
    char c[128], buf[8];
    struct iovec out = {(void *)"a message", 9}, in = {buf, sizeof buf};
    struct sockaddr_storage a;
    struct msghdr m = {.msg_name = &target.addr, .msg_namelen = target.len, .msg_iov = &out,
                       .msg_iovlen = 1};
    int fd = udp_socket(), on = 1;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on) == 0);
    CHECK(sendmsg(fd, &m, 0) == 9);
    m = (struct msghdr){.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &in, .msg_iovlen = 1,
                        .msg_control = c, .msg_controllen = sizeof c};
    CHECK(recvmsg(fd, &m, 0) == 8 && memcmp(buf, "a messag", 8) == 0);
    CHECK(m.msg_flags & MSG_TRUNC && is_from(&a, m.msg_namelen, &target));
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
    while (cmsg && cmsg->cmsg_type != SO_TIMESTAMP) /* libc may insert another control message before it */
        cmsg = CMSG_NXTHDR(&m, cmsg);
    CHECK(cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SO_TIMESTAMP);
    m = (struct msghdr){.msg_name = &target.addr, .msg_namelen = target.len};
    CHECK(sendmsg(fd, &m, 0) == 0); /* an empty datagram */
    m = (struct msghdr){.msg_iov = &in, .msg_iovlen = 1};
    CHECK(recvmsg(fd, &m, 0) == 0 && !(m.msg_flags & MSG_TRUNC));
    close(fd);
}

enum { MANY = 32 };

static void check_batch(bool to_two)
{
    char out[MANY][8], in[MANY][8] = {{0}};
    struct mmsghdr m[MANY], r[MANY];
    struct iovec out_iov[MANY], in_iov[MANY];
    struct sockaddr_storage from[MANY];
    bool seen[MANY] = {false};
    int fd = udp_socket();
    for (int i = 0; i < MANY; i++) {
        const struct peer *p = to_two && i % 2 ? &other : &target;
        sprintf(out[i], "no %02d", i);
        out_iov[i] = (struct iovec){out[i], 5};
        in_iov[i] = (struct iovec){in[i], 8};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = (void *)(uintptr_t)&p->addr,
                                            .msg_namelen = p->len, .msg_iov = &out_iov[i],
                                            .msg_iovlen = 1}};
        r[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof from[i],
                                            .msg_iov = &in_iov[i], .msg_iovlen = 1}};
    }
    CHECK(sendmmsg(fd, m, MANY, 0) == MANY && m[MANY - 1].msg_len == 5);
    for (int have = 0; have < MANY;) {
        int n = recvmmsg(fd, r, MANY, MSG_WAITFORONE, NULL);
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            in[i][5] = 0;
            int at = atoi(in[i] + 3);
            CHECK(r[i].msg_len == 5 && at >= 0 && at < MANY && !seen[at]);
            CHECK(is_from(&from[i], r[i].msg_hdr.msg_namelen, to_two && at % 2 ? &other : &target));
            seen[at] = true;
            r[i].msg_hdr.msg_namelen = sizeof from[i];
        }
        have += n;
    }
    close(fd);
}

/* Receives three datagrams at a time, in PARTS[i] buffers each, after reading them with MSG_PEEK. EAGAIN if there
 * is none. */
static void check_parts(const int *parts)
{
    enum { MOST_PARTS = 32, SIZE = 64 };
    static char in[3][MOST_PARTS][2];
    struct iovec iov[3][MOST_PARTS];
    struct sockaddr_storage from[3];
    struct mmsghdr m[3];
    char text[SIZE];
    bool seen[3] = {false};
    int fd = udp_socket();
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < parts[i]; k++)
            iov[i][k] = (struct iovec){in[i][k], 2};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_iov = iov[i], .msg_iovlen = (size_t)parts[i]}};
    }
    memset(in, 0, sizeof in);
    CHECK(recvmmsg(fd, m, 3, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    CHECK(recvmmsg(fd, m, 3, MSG_DONTWAIT | MSG_PEEK, NULL) == -1 && errno == EAGAIN);
    for (int i = 0; i < 3; i++) {
        int n = snprintf(text, sizeof text, "%d is the number of this datagram", i), room = 2 * parts[i];
        CHECK(send(fd, text, (size_t)n, 0) == n);
        for (int flags = MSG_PEEK; flags >= 0; flags -= MSG_PEEK) {
            m[i].msg_hdr.msg_namelen = sizeof from[i];
            memset(in[i], 0, sizeof in[i]);
            CHECK(recvmmsg(fd, &m[i], 1, flags, NULL) == 1);
            CHECK(memcmp(in[i], text, (size_t)(n < room ? n : room)) == 0);
            CHECK(is_from(&from[i], m[i].msg_hdr.msg_namelen, &target));
        }
        m[i].msg_hdr.msg_namelen = sizeof from[i];
    }
    memset(in, 0, sizeof in);
    for (int i = 0; i < 3; i++) {
        int n = snprintf(text, sizeof text, "%d is the number of this datagram", i);
        CHECK(send(fd, text, (size_t)n, 0) == n);
    }
    for (int have = 0; have < 3;) {
        int n = recvmmsg(fd, m + have, (unsigned)(3 - have), have ? MSG_WAITFORONE : 0, NULL);
        CHECK(n > 0);
        have += n;
    }
    for (int i = 0; i < 3; i++) {
        int at = in[i][0][0] - '0', room = 2 * parts[i];
        int n = snprintf(text, sizeof text, "%d is the number of this datagram", at);
        CHECK(at >= 0 && at < 3 && !seen[at]);
        seen[at] = true;
        CHECK((int)m[i].msg_len == (n < room ? n : room) && memcmp(in[i], text, m[i].msg_len) == 0);
        CHECK(!!(m[i].msg_hdr.msg_flags & MSG_TRUNC) == (n > room));
        CHECK(is_from(&from[i], m[i].msg_hdr.msg_namelen, &target));
    }
    close(fd);
}

static void check_sizes(void)
{
    static char out[70000], in[70000];
    int largest = (target.family == AF_INET ? 65507 : 65527) - overhead, fd = udp_socket();
    int some[] = {0, 1, 1400, 8192, largest}, size = 1 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    for (int i = 0; i < 70000; i++)
        out[i] = (char)(i * 7);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    for (unsigned i = 0; i < 4 + (overhead < 100); i++) {
        if (i == 4 && getenv("LARGEST"))
            some[i] = atoi(getenv("LARGEST"));
        CHECK(send(fd, out, (size_t)some[i], 0) == some[i]);
        ssize_t n = recv(fd, in, sizeof in, 0);
        if (n != some[i])
            FAIL("%zd of %d octets were received", n, some[i]);
        CHECK(memcmp(in, out, (size_t)n) == 0);
    }
    CHECK(send(fd, out, (size_t)largest + 1, 0) == -1 && errno == EMSGSIZE);
    close(fd);
}

static void check_timeout(void)
{
    struct timeval limit = {0, 200000};
    char c;
    int fd = udp_socket();
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    int64_t begun = now_us();
    CHECK(recv(fd, &c, 1, 0) == -1 && errno == EAGAIN && now_us() - begun >= 150000);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && read(fd, &c, 1) == -1 && errno == EAGAIN);
    close(fd);
}

/* A non-blocking socket in an epoll loop, a duplicate, and a child that inherits it. */
static void check_inherited(void)
{
    int fd = socket(target.family, SOCK_DGRAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0 && send(fd, "loop", 4, 0) == 4);
    CHECK(epoll_wait(ep, &e, 1, 10000) == 1 && e.events == EPOLLIN);
    expect_datagram(fd, &target, "loop");
    int second = dup(fd);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(send(second, "child", 5, 0) == 5);
        wait_for(second, POLLIN);
        expect_datagram(second, &target, "child");
        exit(0);
    }
    child_ends(pid);
    CHECK(send(second, "parent", 6, 0) == 6);
    wait_for(second, POLLIN);
    expect_datagram(second, &target, "parent");
    close(second);
    close(ep);
}

/* A bound socket may still exchange datagrams with this machine. */
static void check_bound(void)
{
    struct peer here = peer_of(target.family == AF_INET ? "127.0.0.1" : "::1", "0");
    struct sockaddr_storage any = {.ss_family = (sa_family_t)target.family};
    int fd = udp_socket(), near = udp_socket();
    socklen_t len = target.len;
    CHECK(bind(near, peer_addr(&here), here.len) == 0);
    CHECK(getsockname(near, (struct sockaddr *)&here.addr, &here.len) == 0);
    CHECK(bind(fd, (struct sockaddr *)&any, target.len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&any, &len) == 0);
    CHECK(sendto(fd, "far", 3, 0, peer_addr(&target), target.len) == 3);
    expect_datagram(fd, &target, "far");
    CHECK(sendto(fd, "near", 4, 0, peer_addr(&here), here.len) == 4);
    struct sockaddr_storage from, now;
    char c[8];
    socklen_t from_len = sizeof from, now_len = sizeof now;
    CHECK(recvfrom(near, c, 8, 0, (struct sockaddr *)&from, &from_len) == 4);
    CHECK(sendto(near, "back", 4, 0, (struct sockaddr *)&from, from_len) == 4);
    expect_datagram(fd, &here, "back");
    CHECK(sendto(fd, "again", 5, 0, peer_addr(&target), target.len) == 5);
    expect_datagram(fd, &target, "again");
    CHECK(getsockname(fd, (struct sockaddr *)&now, &now_len) == 0 && now_len == len);
    CHECK(memcmp(&now, &any, target.family == AF_INET ? 8 : sizeof(struct sockaddr_in6)) == 0);
    close(fd);
    /* A socket whose first datagram goes to this machine. */
    fd = udp_socket();
    CHECK(sendto(fd, "near", 4, 0, peer_addr(&here), here.len) == 4);
    CHECK(sendto(fd, "far", 3, 0, peer_addr(&target), target.len) == 3);
    expect_datagram(fd, &target, "far");
    close(fd);
    /* A socket whose later datagrams go to this machine. */
    fd = udp_socket();
    CHECK(sendto(fd, "far", 3, 0, peer_addr(&target), target.len) == 3);
    expect_datagram(fd, &target, "far");
    from_len = sizeof from;
    CHECK(recvfrom(near, c, 8, 0, (struct sockaddr *)&from, &from_len) == 4);
    CHECK(sendto(fd, "near", 4, 0, peer_addr(&here), here.len) == 4);
    from_len = sizeof from;
    CHECK(recvfrom(near, c, 8, 0, (struct sockaddr *)&from, &from_len) == 4);
    CHECK(sendto(near, "back", 4, 0, (struct sockaddr *)&from, from_len) == 4);
    expect_datagram(fd, &here, "back");
    CHECK(sendto(fd, "again", 5, 0, peer_addr(&target), target.len) == 5);
    expect_datagram(fd, &target, "again");
    close(fd);
    close(near);
}

/* An IPv6 socket and an IPv4 target. */
static void check_mapped(const char *host, const char *port)
{
    char text[64];
    if (target.family != AF_INET)
        return;
    snprintf(text, sizeof text, "::ffff:%s", host);
    struct peer p = peer_of(text, port);
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    CHECK(sendto(fd, "mapped", 6, 0, peer_addr(&p), p.len) == 6);
    wait_for(fd, POLLIN);
    expect_datagram(fd, &p, "mapped");
    close(fd);
}

int main(int argc, char **argv)
{
    char next[16];
    target = peer_from(argc, argv);
    snprintf(next, sizeof next, "%d", atoi(argv[2]) + 1);
    other = peer_of(argv[1], next);
    overhead = argc > 3 ? atoi(argv[3]) : 0;
    check_unconnected();
    check_connected();
    check_messages();
    check_batch(false);
    check_batch(true);
    check_parts((const int[]){1, 2, 3});
    check_parts((const int[]){10, 10, 10});
    check_parts((const int[]){1, 30, 3});
    check_parts((const int[]){30, 1, 18});
    check_sizes();
    check_timeout();
    check_inherited();
    check_bound();
    check_mapped(argv[1], argv[2]);
    return 0;
}
