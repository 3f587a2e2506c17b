/* Datagrams there and back through a relay, as many as go: by a program that speaks SOCKS5 UDP itself
 * ("self"), and by an ordinary one that knows nothing of it ("plain"), which the preload object
 * covers; and the relay, which sends each datagram back and counts.
 *
 *   datagrams relay                              prints its port; "quit" on stdin: counts, and ends
 *   datagrams self|plain connected|loose PORT SIZE WINDOW COUNT
 *
 * WINDOW datagrams are under way at a time; with -m before the words they go out by sendmmsg() and
 * come in by recvmmsg(). Prints datagrams per second. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 10, MOST = 1500, BATCH = 32 };

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%d: not so: %s (%s)\n", __LINE__, #what, strerror(errno));            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct sockaddr_in at(const char *host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    return a;
}

static int udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    struct timeval patience = {5, 0};
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* --- the relay --- */

static unsigned long counted;
static int relay_fd;

static void *relay(void *unused)
{
    static char data[BATCH][MOST + HEADER];
    struct mmsghdr m[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in from[BATCH];
    (void)unused;
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){data[i], sizeof data[i]};
            m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof from[i],
                                                .msg_iov = &iov[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(relay_fd, m, BATCH, MSG_WAITFORONE, NULL);
        if (n <= 0)
            continue;
        for (int i = 0; i < n; i++)
            iov[i].iov_len = m[i].msg_len;
        CHECK(sendmmsg(relay_fd, m, (unsigned)n, 0) == n);
        counted += (unsigned)n;
    }
    return NULL;
}

static void answer(int fd)
{
    char in[600], out[12] = {5, 0, 5, 0, 0, 1, 127, 0, 0, 1};
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    CHECK(getsockname(relay_fd, (struct sockaddr *)&own, &len) == 0);
    memcpy(out + 10, &own.sin_port, 2);
    if (recv(fd, in, sizeof in, 0) > 0)
        send(fd, out, sizeof out, 0);
}

static void serve(void)
{
    struct sockaddr_in own = at("127.0.0.1", 0);
    socklen_t len = sizeof own;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd p[2] = {{0, POLLIN, 0}, {listener, POLLIN, 0}};
    relay_fd = udp_socket();
    CHECK(bind(relay_fd, (struct sockaddr *)&own, sizeof own) == 0);
    CHECK(bind(listener, (struct sockaddr *)&own, sizeof own) == 0 && listen(listener, 64) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&own, &len) == 0);
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);
    CHECK(pthread_create(&thread, NULL, relay, NULL) == 0);
    while (poll(p, 2, -1) > 0 && !p[0].revents)
        answer(accept(listener, NULL, NULL)); /* the connection stays until the end */
    printf("%lu\n", counted);
    exit(0);
}

/* --- a client --- */

static int fd;
static struct sockaddr_in to;   /* where datagrams go: the relay, or the destination */
static bool connected, many;
static size_t size, before;     /* octets of each; of them the header */
static char out[MOST + HEADER];

static void begin(bool self, uint16_t port)
{
    static const char request[] = "\5\1\0\5\3\0\1\0\0\0\0\0";
    struct sockaddr_in server = at("127.0.0.1", port), target = at("192.0.2.1", 7);
    fd = udp_socket();
    to = target;
    if (self) {
        char in[12];
        int control = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(control, (struct sockaddr *)&server, sizeof server) == 0);
        CHECK(send(control, request, sizeof request, 0) == sizeof request);
        CHECK(recv(control, in, sizeof in, MSG_WAITALL) == sizeof in);
        to = at("127.0.0.1", 0);
        memcpy(&to.sin_port, in + 10, 2);
        before = HEADER;
        out[3] = 1;
        memcpy(out + 4, &target.sin_addr, 4);
        memcpy(out + 8, &target.sin_port, 2);
    }
    if (connected)
        CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
}

static void put(unsigned n)
{
    struct mmsghdr m[BATCH];
    struct iovec iov = {out, before + size};
    if (many) {
        for (unsigned i = 0; i < n; i++)
            m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = connected ? NULL : &to,
                                                .msg_namelen = connected ? 0 : sizeof to,
                                                .msg_iov = &iov, .msg_iovlen = 1}};
        CHECK(sendmmsg(fd, m, n, 0) == (int)n);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        if (connected)
            CHECK(send(fd, out, before + size, 0) == (ssize_t)(before + size));
        else
            CHECK(sendto(fd, out, before + size, 0, (struct sockaddr *)&to, sizeof to) ==
                  (ssize_t)(before + size));
}

/* At least one, at most N. */
static unsigned get(unsigned n)
{
    static char in[BATCH][MOST + HEADER];
    struct mmsghdr m[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in from[BATCH];
    socklen_t len = sizeof *from;
    if (!many) {
        ssize_t r = connected ? recv(fd, in, sizeof *in, 0)
                              : recvfrom(fd, in, sizeof *in, 0, (struct sockaddr *)from, &len);
        CHECK(r == (ssize_t)(before + size));
        return 1;
    }
    for (unsigned i = 0; i < n; i++) {
        iov[i] = (struct iovec){in[i], sizeof in[i]};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = connected ? NULL : &from[i],
                                            .msg_namelen = connected ? 0 : sizeof from[i],
                                            .msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    int r = recvmmsg(fd, m, n, MSG_WAITFORONE, NULL);
    CHECK(r > 0 && m[0].msg_len == before + size);
    return (unsigned)r;
}

static double run(unsigned window, unsigned count)
{
    struct timespec a, b;
    unsigned sent = window, back = 0;
    put(1);
    CHECK(get(1) == 1); /* the association is there */
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (put(window); back < count;) {
        unsigned n = get(window);
        back += n;
        n = n < count - sent ? n : count - sent;
        if (n)
            put(n);
        sent += n;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    return count / ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "relay") == 0)
        serve();
    if (argc > 1 && strcmp(argv[1], "-m") == 0) {
        many = true;
        argv++, argc--;
    }
    CHECK(argc == 7);
    connected = strcmp(argv[2], "connected") == 0;
    size = (size_t)atoi(argv[4]);
    CHECK(size <= MOST);
    begin(strcmp(argv[1], "self") == 0, (uint16_t)atoi(argv[3]));
    printf("%.0f\n", run((unsigned)atoi(argv[5]), (unsigned)atoi(argv[6])));
    return 0;
}
