/* What the programs here have in common. Each program shows one property of the kernel that the engine relies on. If a
 * program fails, the engine does not work on that kernel. */
#ifndef S5_TESTS_KERNEL_H
#define S5_TESTS_KERNEL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #what, errno);   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline struct sockaddr_in make_loopback(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sa;
}

/* Opens a listener on a free port and stores its address in RET. Returns the descriptor. */
static inline int listen_on(struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof *ret;
    *ret = make_loopback(0);
    CHECK(bind(fd, (struct sockaddr *)ret, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)ret, &len) == 0);
    return fd;
}

static inline int get_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
    return error;
}

static inline uint64_t get_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie);
    return cookie;
}

/* Connects the non-blocking socket FD to TO and waits until it is connected. */
static inline void connect_and_wait(int fd, const struct sockaddr_in *to)
{
    struct pollfd p = {fd, POLLOUT, 0};
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        CHECK(errno == EINPROGRESS && poll(&p, 1, 5000) == 1);
    CHECK(get_error(fd) == 0);
}

#endif
