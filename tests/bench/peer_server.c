/* The SOCKS5 server of the benchmarks and the target behind it in one process, so that the server side takes almost no
 * time. Port 1080 requires no authentication, port 1081 user and password. After the reply a connection is what the
 * requested port says, as if it came directly: 7 echoes, 9 discards and answers the end with an octet, 19 reads a line
 * with the number of MiB to send. What came in one piece is answered in one piece. RESOLVE, which some clients request,
 * is answered, too.
 *
 *   peer_server ADDRESS [PORT]     PORT and the next one instead of 1080 and 1081; a line on standard input: prints how
 *                      many connections came directly and how many came to the server, and resets the counts; end of
 *                      file: ends */
#include "bench.h"
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NONE = 1080, USERPASS = 1081, ECHO = 7, DISCARD = 9, SOURCE = 19, MOST = 65536 };

/* State of a connection, by descriptor. */
static struct {
    enum { CLOSED, LISTENS, GREETING, LOGIN, REQUEST, SERVED } state;
    int port; /* the port it listens at; in SERVED, the port that is served */
    uint8_t method;
    uint8_t have; /* octets of IN */
    uint8_t in[255];
} * conns;
static unsigned long direct, socks;
static int ep, none = NONE; /* the port without authentication */
static char buffer[1 << 20];

static void close_connection(int fd)
{
    conns[fd].state = CLOSED;
    close(fd);
}

static void watch_fd(int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void listen_at(const char *address, int port)
{
    struct sockaddr_in a = make_address(address, port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4096) == 0);
    conns[fd].state = LISTENS;
    conns[fd].port = port;
    watch_fd(fd);
}

static void accept_connections(int listener)
{
    int port = conns[listener].port, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct timeval timeout = {10, 0};
        CHECK(fd < MOST);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        memset(&conns[fd], 0, sizeof conns[fd]);
        conns[fd].port = port;
        conns[fd].method = port == none + 1 ? 2 : 0;
        conns[fd].state = port == none || port == none + 1 ? GREETING : SERVED;
        *(conns[fd].state == SERVED ? &direct : &socks) += 1;
        watch_fd(fd);
    }
}

/* Handles one message of the negotiation. Returns its octets, or 0 if it is incomplete. The answer is appended to
 * OUT. */
static unsigned handle_message(int fd, const uint8_t *in, unsigned have, uint8_t *out, unsigned *len)
{
    static const uint8_t reply[] = {5, 0, 0, 1, 10, 88, 2, 2, 0, 7};
    unsigned size = 0, host;
    switch (conns[fd].state) {
    case GREETING:
        if (have < 2 || have < (size = 2u + in[1]))
            return 0;
        out[(*len)++] = 5;
        out[(*len)++] = conns[fd].method;
        conns[fd].state = conns[fd].method ? LOGIN : REQUEST;
        return size;
    case LOGIN:
        if (have < 2 || have < 3u + in[1] || have < (size = 3u + in[1] + in[2 + in[1]]))
            return 0;
        out[(*len)++] = 1;
        out[(*len)++] = 0;
        conns[fd].state = REQUEST;
        return size;
    case REQUEST:
        if (have < 5)
            return 0;
        host = in[3] == 1 ? 4 : in[3] == 4 ? 16 : 1u + in[4];
        if (have < (size = 6 + host))
            return 0;
        memcpy(out + *len, reply, sizeof reply);
        *len += (unsigned)sizeof reply;
        conns[fd].port = in[4 + host] << 8 | in[5 + host];
        conns[fd].state = SERVED;
        return size;
    default:
        return 0;
    }
}

static void read_negotiation(int fd)
{
    uint8_t out[64];
    unsigned len = 0, done = 0, size;
    ssize_t n = recv(fd, conns[fd].in + conns[fd].have, sizeof conns[fd].in - conns[fd].have, 0);
    if (n <= 0) {
        close_connection(fd);
        return;
    }
    conns[fd].have = (uint8_t)(conns[fd].have + n);
    while ((size = handle_message(fd, conns[fd].in + done, conns[fd].have - done, out, &len)) > 0)
        done += size;
    conns[fd].have = (uint8_t)(conns[fd].have - done);
    memmove(conns[fd].in, conns[fd].in + done, conns[fd].have);
    if (len && send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len)
        close_connection(fd);
}

static bool send_source(int fd, ssize_t n)
{
    buffer[n] = 0;
    for (long mb = atol(buffer); mb > 0; mb--)
        if (send(fd, buffer, 1 << 20, MSG_NOSIGNAL) != 1 << 20)
            return false;
    return true;
}

static void serve_connection(int fd)
{
    ssize_t n = recv(fd, buffer, sizeof buffer - 1, 0);
    bool good = n > 0;
    if (conns[fd].port == ECHO && n > 0)
        good = send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n;
    else if (conns[fd].port == SOURCE && n > 0)
        good = send_source(fd, n);
    else if (conns[fd].port == DISCARD && n == 0)
        send(fd, "", 1, MSG_NOSIGNAL);
    if (!good)
        close_connection(fd);
}

static void print_counts(void)
{
    if (read(0, buffer, 64) <= 0)
        exit(0);
    printf("%lu %lu\n", direct, socks);
    fflush(stdout);
    direct = socks = 0;
}

int main(int argc, char **argv)
{
    int ports[] = {NONE, USERPASS, ECHO, DISCARD, SOURCE};
    struct rlimit limit;
    struct epoll_event got[256];
    if (argc == 3) {
        ports[0] = none = atoi(argv[2]);
        ports[1] = none + 1;
        argc--;
    }
    CHECK(argc == 2 && (conns = calloc(MOST, sizeof *conns)) != NULL);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < MOST ? limit.rlim_max : MOST;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && (ep = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        listen_at(argv[1], ports[i]);
    watch_fd(0);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, got, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd == 0)
                print_counts();
            else if (conns[fd].state == LISTENS)
                accept_connections(fd);
            else if (conns[fd].state == SERVED)
                serve_connection(fd);
            else if (conns[fd].state != CLOSED)
                read_negotiation(fd);
        }
    }
}
