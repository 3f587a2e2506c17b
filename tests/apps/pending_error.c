/* A non-blocking connect() has failed and its error has not been read. The next call that sends or receives
 * returns the error, once. Prints the results; the caller compares them. */
#include "app.h"
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static char octets[16] = "fifteen octets.";
static struct iovec iov = {octets, sizeof octets};

static long by_send(int fd)
{
    return send(fd, octets, sizeof octets, 0);
}
static long by_sendto(int fd)
{
    return sendto(fd, octets, sizeof octets, MSG_NOSIGNAL, NULL, 0);
}
static long by_sendmsg(int fd)
{
    return sendmsg(fd, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, 0);
}
static long by_sendmmsg(int fd)
{
    return sendmmsg(fd, &(struct mmsghdr){{.msg_iov = &iov, .msg_iovlen = 1}, 0}, 1, 0);
}
static long by_write(int fd)
{
    return write(fd, octets, sizeof octets);
}
static long by_writev(int fd)
{
    return writev(fd, &iov, 1);
}
static long by_sendfile(int fd)
{
    int file = open("/proc/self/exe", O_RDONLY);
    long n = sendfile(fd, file, NULL, 10);
    int saved = errno;
    close(file);
    errno = saved;
    return n;
}
static long by_recv(int fd)
{
    return recv(fd, octets, sizeof octets, 0);
}
static long by_peek(int fd)
{
    return recv(fd, octets, sizeof octets, MSG_PEEK | MSG_DONTWAIT);
}
static long by_recvfrom(int fd)
{
    return recvfrom(fd, octets, sizeof octets, 0, NULL, NULL);
}
static long by_recvmsg(int fd)
{
    return recvmsg(fd, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, 0);
}
static long by_read(int fd)
{
    return read(fd, octets, sizeof octets);
}
static long by_readv(int fd)
{
    return readv(fd, &iov, 1);
}
/* The kernel does nothing for a read of 0 octets, so the next read returns the error. */
static long by_two_reads(int fd)
{
    CHECK(read(fd, octets, 0) == 0);
    return read(fd, octets, sizeof octets);
}

static const struct {
    const char *name;
    long (*call)(int fd);
} calls[] = {
    {"send", by_send},         {"sendto", by_sendto},     {"sendmsg", by_sendmsg},
    {"sendmmsg", by_sendmmsg}, {"write", by_write},       {"writev", by_writev},
    {"sendfile", by_sendfile}, {"recv", by_recv},         {"peek", by_peek},
    {"recvfrom", by_recvfrom}, {"recvmsg", by_recvmsg},   {"read", by_read},
    {"readv", by_readv},       {"two reads", by_two_reads},
};

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    enum { COUNT = sizeof calls / sizeof *calls };
    struct pollfd fds[COUNT];
    int tries = 1; /* of a SYN, for peers that do not answer */
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = (struct pollfd){tcp_socket(&p, SOCK_NONBLOCK), POLLOUT, 0};
        CHECK(setsockopt(fds[i].fd, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof tries) == 0);
        CHECK(connect(fds[i].fd, peer_addr(&p), p.len) == -1 && errno == EINPROGRESS);
    }
    for (int i = 0; i < COUNT; i++) {
        int fd = fds[i].fd;
        CHECK(poll(&fds[i], 1, 30000) == 1);
        errno = 0;
        long n = calls[i].call(fd);
        printf("%s: %s%s", calls[i].name, n < 0 ? "" : "done, ", strerror(errno));
        printf(", then SO_ERROR %d", so_error(fd));
        n = send(fd, octets, sizeof octets, MSG_NOSIGNAL);
        printf(" and send %s\n", n < 0 ? strerror(errno) : "works");
        close(fd);
    }
    return 0;
}
