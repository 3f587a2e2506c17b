/* Datagrams at the limits of the calls: hundreds of buffers, many datagrams at once, MSG_PEEK, duplicates made
 * before the first datagram, descriptor numbers that are reused without libc noticing, and invalid arguments. */
#include "app.h"
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { PARTS = 300, MANY = 40, MOST = 1024 };

static struct peer target;

static int udp_socket(void)
{
    struct timeval limit = {10, 0};
    int fd = socket(target.family, SOCK_DGRAM, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    return fd;
}

static int connected_fd(void)
{
    int fd = udp_socket();
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    return fd;
}

/* Describes OCTETS as N buffers of one octet each. */
static void make_parts(struct iovec *iov, char *octets, int n)
{
    for (int i = 0; i < n; i++)
        iov[i] = (struct iovec){&octets[i], 1};
}

static void fill_octets(char *octets)
{
    for (int i = 0; i < PARTS; i++)
        octets[i] = (char)(i % 101);
}

static void check_parts(bool at_once)
{
    char out[PARTS], in[PARTS] = "";
    struct iovec to[PARTS], from[PARTS];
    int fd = connected_fd();
    fill_octets(out);
    make_parts(to, out, PARTS);
    make_parts(from, in, PARTS);
    struct mmsghdr there[2] = {{.msg_hdr = {.msg_iov = to, .msg_iovlen = PARTS}},
                               {.msg_hdr = {.msg_iov = to, .msg_iovlen = 2}}};
    struct mmsghdr back = {.msg_hdr = {.msg_iov = from, .msg_iovlen = PARTS}};
    if (at_once) {
        CHECK(sendmmsg(fd, there, 2, 0) == 2 && there[0].msg_len == PARTS);
        CHECK(recvmmsg(fd, &back, 1, 0, NULL) == 1 && back.msg_len == PARTS);
    } else {
        CHECK(sendmsg(fd, &there[0].msg_hdr, 0) == PARTS);
        CHECK(recvmsg(fd, &back.msg_hdr, 0) == PARTS);
    }
    CHECK(memcmp(in, out, PARTS) == 0);
    close(fd);
}

static void check_too_many_parts(void)
{
    static struct iovec iov[MOST + 1];
    struct mmsghdr m = {.msg_hdr = {.msg_iov = iov, .msg_iovlen = MOST + 1}};
    int fd = connected_fd();
    CHECK(send(fd, "there", 5, 0) == 5);
    wait_for(fd, POLLIN);
    CHECK(sendmsg(fd, &m.msg_hdr, 0) == -1 && errno == EMSGSIZE);
    CHECK(sendmmsg(fd, &m, 1, 0) == -1 && errno == EMSGSIZE);
    CHECK(recvmsg(fd, &m.msg_hdr, 0) == -1 && errno == EMSGSIZE);
    CHECK(recvmmsg(fd, &m, 1, 0, NULL) == -1 && errno == EMSGSIZE);
    close(fd);
}

static void check_many(void)
{
    char out[MANY], in[MANY][8];
    struct iovec to[MANY], from[MANY];
    struct mmsghdr there[MANY] = {{.msg_len = 0}}, back[MANY] = {{.msg_len = 0}};
    struct timespec limit = {5, 0}, none = {0, 0};
    int fd = connected_fd();
    for (int i = 0; i < MANY; i++) {
        out[i] = (char)i;
        to[i] = (struct iovec){&out[i], 1};
        from[i] = (struct iovec){in[i], sizeof in[i]};
        there[i].msg_hdr = (struct msghdr){.msg_iov = &to[i], .msg_iovlen = 1};
        back[i].msg_hdr = (struct msghdr){.msg_iov = &from[i], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(fd, there, MANY, 0) == MANY);
    wait_for(fd, POLLIN);
    CHECK(recvmmsg(fd, back, 1, MSG_PEEK, NULL) == 1 && back[0].msg_len == 1 && in[0][0] == 0);
    CHECK(recvmmsg(fd, back, 1, 0, &none) == 1 && in[0][0] == 0);
    CHECK(recvmmsg(fd, back + 1, MANY - 1, 0, &limit) == MANY - 1);
    for (int i = 0; i < MANY; i++)
        CHECK(back[i].msg_len == 1 && in[i][0] == i);
    CHECK(recvmmsg(fd, back, 0, MSG_PEEK, NULL) == 0);
    CHECK(recvmmsg(fd, back, MANY, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    close(fd);
}

static void check_peek(void)
{
    char text[16];
    struct iovec iov = {text, 3};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int fd = connected_fd();
    CHECK(send(fd, "octets", 6, 0) == 6);
    CHECK(recvmsg(fd, &m, MSG_PEEK) == 3 && m.msg_flags & MSG_TRUNC);
    CHECK(recv(fd, text, 3, MSG_PEEK | MSG_TRUNC) == 6);
    CHECK(recv(fd, text, sizeof text, 0) == 6 && memcmp(text, "octets", 6) == 0);
    close(fd);
}

static void check_duplicate(void)
{
    char text[8];
    int fd = udp_socket(), other = dup(fd);
    CHECK(other >= 0);
    CHECK(sendto(fd, "one", 3, 0, peer_addr(&target), target.len) == 3);
    CHECK(recv(other, text, sizeof text, 0) == 3 && memcmp(text, "one", 3) == 0);
    close(fd);
    CHECK(sendto(other, "two", 3, 0, peer_addr(&target), target.len) == 3);
    CHECK(recv(other, text, sizeof text, 0) == 3 && memcmp(text, "two", 3) == 0);
    close(other);
}

/* Uses the system call itself where possible, so that no library notices it. */
static void replace_fd(int from, int number)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_dup2), "D"((long)from), "S"((long)number)
                     : "rcx", "r11", "memory");
    CHECK(result == number);
#else
    CHECK(syscall(SYS_dup3, from, number, 0) == number);
#endif
}

/* The number now belongs to a separate socket. */
static void check_other_socket(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    char text[8];
    int fd = connected_fd(), near = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(near, (struct sockaddr *)&here, len) == 0);
    CHECK(getsockname(near, (struct sockaddr *)&here, &len) == 0);
    replace_fd(near, fd);
    CHECK(sendto(fd, "here", 4, 0, (struct sockaddr *)&here, len) == 4);
    CHECK(recv(near, text, sizeof text, 0) == 4 && memcmp(text, "here", 4) == 0);
    CHECK(getpeername(fd, (struct sockaddr *)&here, &len) == -1 && errno == ENOTCONN);
    close(near);
    close(fd);
}

static void check_other_kind(void)
{
    char octet;
    int fd = connected_fd(), stream = socket(AF_INET, SOCK_STREAM, 0);
    replace_fd(stream, fd);
    CHECK(recv(fd, &octet, 1, 0) == -1 && errno == ENOTCONN);
    close(stream);
    close(fd);
}

static void check_invalid(void)
{
    struct sockaddr_storage a;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    socklen_t len = sizeof a;
    int octets = 0, fd = connected_fd(), unconnected = udp_socket();
    v6.sin6_addr.s6_addr[15] = 1;
    CHECK(getpeername(fd, (struct sockaddr *)&a, NULL) == -1 && errno == EFAULT);
    CHECK(getsockname(fd, (struct sockaddr *)&a, NULL) == -1 && errno == EFAULT);
    len = (socklen_t)-1;
    CHECK(getpeername(fd, (struct sockaddr *)&a, &len) == -1 && errno == EINVAL);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == -1 && errno == EINVAL);
    if (target.family == AF_INET)
        CHECK(connect(fd, (struct sockaddr *)&v6, sizeof v6) == -1 && errno == EAFNOSUPPORT);
    CHECK(connect(fd, (struct sockaddr *)&un, sizeof un) == -1);
    CHECK(sendto(unconnected, "x", 1, 0, peer_addr(&target), target.len) == 1);
    len = sizeof octets;
    CHECK(getsockopt(unconnected, SOL_SOCKET, SO_TYPE, &octets, &len) == 0 && octets == SOCK_DGRAM);
    len = sizeof octets;
    CHECK(getsockopt(unconnected, SOL_SOCKET, 12345, &octets, &len) == -1 && errno == ENOPROTOOPT);
    CHECK(sendto(-1, "x", 1, 0, peer_addr(&target), target.len) == -1 && errno == EBADF);
    check_names(fd, &target);
    close(unconnected);
    close(fd);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    check_parts(false);
    check_parts(true);
    check_too_many_parts();
    check_many();
    check_peek();
    check_duplicate();
    check_other_socket();
    check_other_kind();
    check_invalid();
    return 0;
}
