/* Takes orders from standard input, a line each: HOW HOST PORT. Tells a line each of what it came to:
 * "ok" or the errno's name, the octets the peer said within a while after it (-1: silence), and how
 * many descriptors this process has open. One process for all orders: what one leaves behind, the
 * next ones see. */
#include "app.h"
#include <sys/epoll.h>
#include <sys/select.h>

#define PATIENCE 20000 /* ms, for what must come */
#define A_WHILE  150   /* ms, for what need not */

/* Whether FD becomes writable within MS, asked in the way HOW. */
static bool becomes_writable(int fd, const char *how, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (strcmp(how, "select") == 0) {
        struct timeval limit = {ms / 1000, ms % 1000 * 1000};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        return select(fd + 1, NULL, &set, NULL, &limit) == 1;
    }
    if (strcmp(how, "epoll") == 0) {
        struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
        int ep = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
        bool ready = epoll_wait(ep, &got, 1, ms) == 1;
        close(ep);
        return ready;
    }
    return poll(&p, 1, ms) == 1;
}

/* 0, an errno, or -1: nothing within a while, which only the impatient give up for. */
static int connects(int fd, const struct peer *p, const char *how)
{
    int error = connect(fd, peer_addr(p), p->len) == 0 ? 0 : errno;
    if (strcmp(how, "block") == 0 || error != EINPROGRESS)
        return error;
    bool impatient = strcmp(how, "impatient") == 0;
    if (becomes_writable(fd, how, impatient ? A_WHILE : PATIENCE))
        return so_error(fd);
    if (!impatient)
        FAIL("%s: never ready", how);
    return -1;
}

static long said(int fd)
{
    char text[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, A_WHILE) != 1)
        return -1;
    return (long)recv(fd, text, sizeof(text), MSG_DONTWAIT);
}

static int sends(int fd, const struct peer *p)
{
    return sendto(fd, "datagram", 8, 0, peer_addr(p), p->len) == 8 ? 0 : errno;
}

/* Listens at PORT, and takes who comes within a while. */
static int listens(int fd, const struct peer *p, long *ret_said)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = ((const struct sockaddr_in *)&p->addr)->sin_port};
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 5) != 0)
        return errno;
    if (poll(&pfd, 1, A_WHILE) != 1)
        return -1;
    int peer = accept(fd, NULL, NULL);
    if (peer < 0)
        return errno;
    *ret_said = said(peer);
    close(peer);
    return 0;
}

static void obey(const char *how, const struct peer *p)
{
    bool datagram = strcmp(how, "udp") == 0, bind = strcmp(how, "bind") == 0;
    bool blocks = strcmp(how, "block") == 0 || datagram;
    long octets = -1;
    int fd = socket(p->family, (datagram ? SOCK_DGRAM : SOCK_STREAM) | (blocks ? 0 : SOCK_NONBLOCK), 0);
    CHECK(fd >= 0);
    int error = datagram ? sends(fd, p) : bind ? listens(fd, p, &octets) : connects(fd, p, how);
    if (error == 0 && !datagram && !bind)
        octets = said(fd);
    close(fd);
    printf("%s %ld %d\n", error < 0 ? "late" : error ? strerrorname_np(error) : "ok", octets,
           open_descriptors());
    fflush(stdout);
}

int main(void)
{
    char how[32], host[64], port[16];
    while (scanf("%31s %63s %15s", how, host, port) == 3) {
        struct peer p = peer_of(host, port);
        obey(how, &p);
    }
    return 0;
}
