/* Reads commands from standard input, one a line: HOW HOST PORT. Prints a line for each: "ok" or the name of the
 * errno, the number of octets that the peer sends within A_WHILE (-1: none), and the number of open descriptors.
 * One process runs all commands, so leftovers of one affect the next ones. */
#include "app.h"
#include <sys/epoll.h>
#include <sys/select.h>

#define TIMEOUT_MS 20000 /* ms, for what must happen */
#define A_WHILE    150   /* ms, for what may not happen */

/* True if FD becomes writable within MS, as seen by the call HOW. */
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

/* Returns 0, an errno, or -1 if nothing happened within A_WHILE. Only "impatient" gives up then. */
static int run_connect(int fd, const struct peer *p, const char *how)
{
    int error = connect(fd, peer_addr(p), p->len) == 0 ? 0 : errno;
    if (strcmp(how, "block") == 0 || error != EINPROGRESS)
        return error;
    bool impatient = strcmp(how, "impatient") == 0;
    if (becomes_writable(fd, how, impatient ? A_WHILE : TIMEOUT_MS))
        return so_error(fd);
    if (!impatient)
        FAIL("%s: never ready", how);
    return -1;
}

static long receive_count(int fd)
{
    char text[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, A_WHILE) != 1)
        return -1;
    return (long)recv(fd, text, sizeof(text), MSG_DONTWAIT);
}

static int run_datagram(int fd, const struct peer *p)
{
    return sendto(fd, "datagram", 8, 0, peer_addr(p), p->len) == 8 ? 0 : errno;
}

/* Listens at PORT and accepts a connection that arrives within A_WHILE. */
static int run_listener(int fd, const struct peer *p, long *ret_said)
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
    *ret_said = receive_count(peer);
    close(peer);
    return 0;
}

static void run_command(const char *how, const struct peer *p)
{
    bool datagram = strcmp(how, "udp") == 0, bind = strcmp(how, "bind") == 0;
    bool blocks = strcmp(how, "block") == 0 || datagram;
    long octets = -1;
    int fd = socket(p->family, (datagram ? SOCK_DGRAM : SOCK_STREAM) | (blocks ? 0 : SOCK_NONBLOCK), 0);
    CHECK(fd >= 0);
    int error = datagram ? run_datagram(fd, p) : bind ? run_listener(fd, p, &octets) : run_connect(fd, p, how);
    if (error == 0 && !datagram && !bind)
        octets = receive_count(fd);
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
        run_command(how, &p);
    }
    return 0;
}
