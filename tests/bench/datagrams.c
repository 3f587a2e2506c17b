/* Datagrams there and back through a relay, as many as go: by a program that speaks SOCKS5 UDP itself
 * ("self"), and by an ordinary one that knows nothing of it ("plain"), which the preload object
 * covers; and the relay, which sends each datagram back and counts.
 *
 *   datagrams relay ADDRESS PORT [TARGET]   at that port, 0 for any, which it prints; "quit" on
 *                       stdin: counts, relayed and come past the relay to TARGET, and ends
 *   datagrams self|plain connected|loose ADDRESS PORT TARGET SIZE WINDOW COUNT
 *
 * WINDOW datagrams are under way at a time; with -m before the words they go out by sendmmsg() and
 * come in by recvmmsg(). Prints datagrams per second, and what they took of a processor. */
#include "bench.h"
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 10, MOST = 1500, BATCH = 32, TARGET_PORT = 7 };

static int udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    struct timeval timeout = {5, 0};
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

/* --- the relay --- */

/* What sends back: the relay, and the target itself, at which datagrams come past the relay. */
struct echo {
    int fd;
    unsigned long counted;
};
static struct echo relay, target;

static void *echo(void *arg)
{
    static _Thread_local char data[BATCH][MOST + HEADER];
    struct echo *own = arg;
    struct mmsghdr m[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in from[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){data[i], sizeof data[i]};
            m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof from[i],
                                                .msg_iov = &iov[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(own->fd, m, BATCH, MSG_WAITFORONE, NULL);
        if (n <= 0)
            continue;
        for (int i = 0; i < n; i++)
            iov[i].iov_len = m[i].msg_len;
        CHECK(sendmmsg(own->fd, m, (unsigned)n, 0) == n);
        own->counted += (unsigned)n;
    }
    return NULL;
}

/* Returns the port. */
static int start_echo(struct echo *e, const char *address, int port)
{
    struct sockaddr_in own = at(address, port);
    socklen_t len = sizeof own;
    pthread_t thread;
    e->fd = udp_socket();
    CHECK(bind(e->fd, (struct sockaddr *)&own, sizeof own) == 0);
    CHECK(getsockname(e->fd, (struct sockaddr *)&own, &len) == 0);
    CHECK(pthread_create(&thread, NULL, echo, e) == 0);
    return ntohs(own.sin_port);
}

/* All in one where it was asked all in one. */
static void answer(int fd, const char *address, int port)
{
    struct sockaddr_in own = at(address, port);
    char in[600], out[12] = {5, 0, 5, 0, 0, 1};
    size_t first = 0;
    memcpy(out + 6, &own.sin_addr, 4);
    memcpy(out + 10, &own.sin_port, 2);
    if (recv(fd, in, sizeof in, 0) == 2 + in[1]) {
        first = 2;
        send(fd, out, first, 0);
        recv(fd, in, sizeof in, 0);
    }
    send(fd, out + first, sizeof out - first, 0);
}

static void serve(const char *address, int port, const char *past)
{
    struct sockaddr_in own = at(address, port);
    socklen_t len = sizeof own;
    int listener = socket(AF_INET, SOCK_STREAM, 0), relay_port = start_echo(&relay, address, 0);
    struct pollfd p[2] = {{0, POLLIN, 0}, {listener, POLLIN, 0}};
    if (past)
        start_echo(&target, past, TARGET_PORT);
    CHECK(bind(listener, (struct sockaddr *)&own, sizeof own) == 0 && listen(listener, 64) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&own, &len) == 0);
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);
    while (poll(p, 2, -1) > 0 && !p[0].revents)
        answer(accept(listener, NULL, NULL), address, relay_port); /* it stays until the end */
    printf("%lu %lu\n", relay.counted, target.counted);
    exit(0);
}

/* --- a client --- */

static int fd;
static struct sockaddr_in to;   /* where datagrams go: the relay, or the destination */
static bool connected, many;
static size_t size, before;     /* octets of each; of them the header */
static char out[MOST + HEADER];

static void begin(bool self, struct sockaddr_in server, struct sockaddr_in dst)
{
    static const char request[] = "\5\1\0\5\3\0\1\0\0\0\0\0";
    fd = udp_socket();
    to = dst;
    if (self) {
        char in[12];
        int control = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(control, (struct sockaddr *)&server, sizeof server) == 0);
        CHECK(send(control, request, sizeof request, 0) == sizeof request);
        CHECK(recv(control, in, sizeof in, MSG_WAITALL) == sizeof in);
        to = server;
        memcpy(&to.sin_port, in + 10, 2);
        before = HEADER;
        out[3] = 1;
        memcpy(out + 4, &dst.sin_addr, 4);
        memcpy(out + 8, &dst.sin_port, 2);
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

static void run(unsigned window, unsigned count)
{
    unsigned sent = window, back = 0;
    put(1);
    CHECK(get(1) == 1); /* the association is there */
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (put(window); back < count;) {
        unsigned n = get(window);
        back += n;
        n = n < count - sent ? n : count - sent;
        if (n)
            put(n);
        sent += n;
    }
    tell_rate(count, begun, processor);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "relay") == 0)
        serve(argv[2], atoi(argv[3]), argv[4]);
    if (argc > 1 && strcmp(argv[1], "-m") == 0) {
        many = true;
        argv++, argc--;
    }
    CHECK(argc == 9);
    connected = strcmp(argv[2], "connected") == 0;
    size = (size_t)atoi(argv[6]);
    CHECK(size <= MOST);
    begin(strcmp(argv[1], "self") == 0, at(argv[3], atoi(argv[4])), at(argv[5], TARGET_PORT));
    run((unsigned)atoi(argv[7]), (unsigned)atoi(argv[8]));
    return 0;
}
