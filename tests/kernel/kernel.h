/* What the programs here have in common. Each shows one thing the engine takes for granted of the
 * kernel; where one fails, the engine is wrong on that kernel. */
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

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sa;
}

/* A listener on a free port, whose address is then in *RET. */
static inline int listen_on(struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof *ret;
    *ret = loopback(0);
    CHECK(bind(fd, (struct sockaddr *)ret, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)ret, &len) == 0);
    return fd;
}

static inline int error_of(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
    return error;
}

static inline uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie);
    return cookie;
}

/* Connects the non-blocking FD and waits until it is. */
static inline void connect_now(int fd, const struct sockaddr_in *to)
{
    struct pollfd p = {fd, POLLOUT, 0};
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        CHECK(errno == EINPROGRESS && poll(&p, 1, 5000) == 1);
    CHECK(error_of(fd) == 0);
}

#endif
