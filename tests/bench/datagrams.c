/* Datagrams there and back through a relay, as many as possible. The client speaks SOCKS5 UDP itself ("self"), or is an
 * ordinary program ("plain"), which the preload object covers. The relay sends each datagram back and counts.
 *
 *   datagrams relay ADDRESS PORT [TARGET]   listens at PORT (0: any) and prints the port. "quit" on standard input
 *                       ends it. It then prints the datagrams that were relayed, and those that came to TARGET directly
 *   datagrams self|plain connected|loose ADDRESS PORT TARGET SIZE WINDOW COUNT
 *
 * "connected" uses a connected socket, "loose" uses sendto(). WINDOW datagrams are in flight at a time. With -m before
 * the other arguments they are sent by sendmmsg() and received by recvmmsg(). -w: see bench.h. Prints datagrams per second, and the
 * processor time that they took. */
#include "bench.h"
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

enum { HEADER = 10, MOST = 1500, BATCH = 32, TARGET_PORT = 7 };

static int open_udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    struct timeval timeout = {5, 0};
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

/* --- the relay --- */

/* A socket that sends datagrams back: that of the relay, and that of the target, which receives datagrams that bypass
 * the relay. */
struct echo {
    int fd;
    unsigned long counted;
};
static struct echo relay, target;

static void *run_echo(void *arg)
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

/* Starts a thread that sends back the datagrams for ADDRESS and PORT. Returns the port. */
static int start_echo(struct echo *e, const char *address, int port)
{
    struct sockaddr_in own = make_address(address, port);
    socklen_t len = sizeof own;
    pthread_t thread;
    e->fd = open_udp_socket();
    CHECK(bind(e->fd, (struct sockaddr *)&own, sizeof own) == 0);
    CHECK(getsockname(e->fd, (struct sockaddr *)&own, &len) == 0);
    CHECK(pthread_create(&thread, NULL, run_echo, e) == 0);
    return ntohs(own.sin_port);
}

/* Answers greeting and request. If both came in one segment, the answer is one segment, too. */
static void answer_client(int fd, const char *address, int port)
{
    struct sockaddr_in own = make_address(address, port);
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

static void run_relay(const char *address, int port, const char *past)
{
    struct sockaddr_in own = make_address(address, port);
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
        answer_client(accept(listener, NULL, NULL), address, relay_port); /* remains open until the end */
    printf("%lu %lu\n", relay.counted, target.counted);
    exit(0);
}

/* --- a client --- */

static int fd;
static struct sockaddr_in to;   /* destination of the datagrams: the relay or the target */
static bool connected, many;
static size_t size, before;     /* octets of each datagram; octets of its header */
static char out[MOST + HEADER];

static void open_client(bool self, struct sockaddr_in server, struct sockaddr_in dst)
{
    static const char request[] = "\5\1\0\5\3\0\1\0\0\0\0\0";
    fd = open_udp_socket();
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

static void send_datagrams(unsigned n)
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

/* Receives at least one and at most N datagrams. Returns their number. */
static unsigned receive_datagrams(unsigned n)
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

static void measure_rate(unsigned window, unsigned count)
{
    unsigned sent = window, back = 0;
    send_datagrams(1);
    CHECK(receive_datagrams(1) == 1); /* the association is established */
    stop_before();
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (send_datagrams(window); back < count;) {
        unsigned n = receive_datagrams(window);
        back += n;
        n = n < count - sent ? n : count - sent;
        if (n)
            send_datagrams(n);
        sent += n;
    }
    print_rate(count, begun, processor);
    stop_after();
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "relay") == 0)
        run_relay(argv[2], atoi(argv[3]), argv[4]);
    for (; argc > 1 && argv[1][0] == '-'; argv++, argc--)
        *(argv[1][1] == 'm' ? &many : &stops) = true;
    CHECK(argc == 9);
    connected = strcmp(argv[2], "connected") == 0;
    size = (size_t)atoi(argv[6]);
    CHECK(size <= MOST);
    open_client(strcmp(argv[1], "self") == 0, make_address(argv[3], atoi(argv[4])), make_address(argv[5], TARGET_PORT));
    measure_rate((unsigned)atoi(argv[7]), (unsigned)atoi(argv[8]));
    return 0;
}
