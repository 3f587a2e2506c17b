/* Helpers shared by the test programs. Each program checks one behaviour of libc and the kernel. It takes a
 * numeric HOST and a PORT, exits with 0 on success, and otherwise writes to standard error what is wrong. The
 * programs know nothing of SOCKS: each must behave the same bare (without socksify) and covered (with it). */
#ifndef APP_H
#define APP_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        int fail_errno = errno;                                                                    \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, " (errno %d, %s)\n", fail_errno, strerror(fail_errno));                    \
        exit(1);                                                                                   \
    } while (0)
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            FAIL("check failed: %s", #what);                                                             \
    } while (0)

struct peer {
    struct sockaddr_storage addr;
    socklen_t len;
    int family;
};

static inline struct peer peer_of(const char *host, const char *port)
{
    struct peer p = {.len = sizeof(struct sockaddr_in), .family = AF_INET};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&p.addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p.addr;

    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)atoi(port));
        p.len = sizeof(*v6);
        p.family = AF_INET6;
    } else {
        FAIL("not an address: %s", host);
    }
    return p;
}

static inline struct peer peer_from(int argc, char **argv)
{
    if (argc < 3)
        FAIL("usage: %s HOST PORT", argv[0]);
    return peer_of(argv[1], argv[2]);
}

static inline const struct sockaddr *peer_addr(const struct peer *p)
{
    return (const struct sockaddr *)&p->addr;
}

static inline int tcp_socket(const struct peer *p, int flags)
{
    int fd = socket(p->family, SOCK_STREAM | flags, 0);
    if (fd < 0)
        FAIL("socket");
    return fd;
}

static inline int tcp_connect(const struct peer *p)
{
    int fd = tcp_socket(p, 0);
    if (connect(fd, peer_addr(p), p->len) != 0)
        FAIL("connect");
    return fd;
}

/* Starts a non-blocking connect. */
static inline int tcp_begin(const struct peer *p)
{
    int fd = tcp_socket(p, SOCK_NONBLOCK);
    if (connect(fd, peer_addr(p), p->len) != -1 || errno != EINPROGRESS)
        FAIL("a non-blocking connect is not EINPROGRESS");
    return fd;
}

static inline int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static inline int so_error(int fd)
{
    int error = -1;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        FAIL("getsockopt SO_ERROR");
    return error;
}

static inline void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    if (poll(&p, 1, 20000) != 1)
        FAIL("descriptor %d is not ready within 20 s", fd);
}

/* Writes TEXT and reads it back, on a blocking or non-blocking FD. The stream must contain nothing else. */
static inline void echo(int fd, const char *text)
{
    char back[256];
    size_t n = strlen(text), got = 0;
    wait_for(fd, POLLOUT);
    if (write(fd, text, n) != (ssize_t)n)
        FAIL("write");
    while (got < n) {
        wait_for(fd, POLLIN);
        ssize_t r = read(fd, back + got, sizeof(back) - got);
        if (r <= 0)
            FAIL("read returned %zd", r);
        got += (size_t)r;
    }
    if (got != n || memcmp(back, text, n) != 0)
        FAIL("the echo of \"%s\" is \"%.*s\"", text, (int)got, back);
}

/* Checks that getpeername() returns P, and that getsockname() returns an address and a port. */
static inline void check_names(int fd, const struct peer *p)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;

    memset(&a, 0, sizeof(a));
    if (getpeername(fd, (struct sockaddr *)&a, &len) != 0)
        FAIL("getpeername");
    if (len != p->len || a.ss_family != p->family || v4->sin_port != ((const struct sockaddr_in *)&p->addr)->sin_port)
        FAIL("getpeername returns another family or port");
    if (p->family == AF_INET ? v4->sin_addr.s_addr != ((const struct sockaddr_in *)&p->addr)->sin_addr.s_addr
                             : memcmp(&v6->sin6_addr, &((const struct sockaddr_in6 *)&p->addr)->sin6_addr, 16) != 0)
        FAIL("getpeername returns another address");
    len = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        FAIL("getsockname");
    CHECK(len == p->len && a.ss_family == p->family && v4->sin_port != 0);
    CHECK(p->family == AF_INET ? v4->sin_addr.s_addr != 0 : !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr));
}

/* Returns the number of open descriptors plus a constant (".", ".." and the descriptor of the directory). */
static inline int open_descriptors(void)
{
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

/* Fails and lists the first 40 if more than COUNT descriptors are open, counted as open_descriptors() does. */
static inline void descriptors_within(int count)
{
    char path[32], what[256];
    int open = open_descriptors();
    if (open <= count)
        return;
    for (int fd = 0, shown = 0; fd < 65536 && shown < 40; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, what, sizeof what - 1);
        shown += n >= 0;
        if (n >= 0)
            fprintf(stderr, "%d: %.*s, flags %#x\n", fd, (int)n, what, (unsigned)fcntl(fd, F_GETFL));
    }
    FAIL("%d descriptors, not %d", open, count);
}

/* Waits for PID, which must exit with 0. */
static inline void child_ends(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        FAIL("fork or waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("a child ended with %#x", (unsigned)status);
}

/* Runs one call of a scenario. If it fails, its errno is stored in ERROR and control goes to the label END, which
 * releases everything. */
#define STEP(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            error = errno;                                                                         \
            goto end;                                                                              \
        }                                                                                          \
    } while (0)

#endif
