/* The client of the benchmarks: an ordinary program, to be covered by whatever is measured or by
 * nothing, and the same program speaking SOCKS5 itself, which is the floor.
 *
 *   peer_client [-s|-u] MODE ADDRESS N [SECONDS]
 *
 * ADDRESS is the target's. With -s or -u it is the server's, and the program asks that for the
 * target: greeting and request, with user and password between them for -u, in one write.
 *
 *   rtt      N times: microseconds of a blocking connect(), and until an octet came back behind it
 *   up, down MiB a second, N of them      pingpong   round trips a second of 64 octets, N of them
 *   rate     blocking connects a second, N one after another; epoll: the same, without blocking;
 *            for these, the microseconds of processor too that this process took
 *   crowd    N at once: how many became writable without an error within SECONDS, how many of them
 *            then echoed, microseconds until the last was writable, of the longest connect()
 *   memory   N that stay open: how many were opened in SECONDS, octets of memory for each
 *   resolve  getaddrinfo(), N times; name: and a blocking connect() to what it says; none: a socket
 *            made and closed */
#include "bench.h"
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO = 7, DISCARD = 9, SOURCE = 19, MOST = 10000 };

static enum { PLAIN, SELF, LOGIN } how;
static const char *address;
static double seconds = 1e9;
static char buffer[1 << 18];

static const char *login = "\1\5bench\5bench";

/* Everything the server is told, in one piece; LEN is what it will answer. */
static size_t flight(uint8_t *out, int port, size_t *len)
{
    const uint8_t request[] = {5, 1, 0, 1, 10, 88, 2, 2, 0, (uint8_t)port};
    size_t n = 3;
    memcpy(out, how == LOGIN ? "\5\1\2" : "\5\1\0", 3);
    if (how == LOGIN) {
        memcpy(out + n, login, strlen(login));
        n += strlen(login);
    }
    memcpy(out + n, request, sizeof request);
    *len = how == LOGIN ? 14 : 12;
    return n + sizeof request;
}

static struct sockaddr_in target(int port)
{
    return at(address, how == PLAIN ? port : how == LOGIN ? 1081 : 1080);
}

static int open_to(int port)
{
    struct sockaddr_in to = target(port);
    uint8_t out[64];
    size_t len, n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    if (how != PLAIN) {
        n = flight(out, port, &len);
        CHECK(send(fd, out, n, 0) == (ssize_t)n);
        CHECK(recv(fd, out, len, MSG_WAITALL) == (ssize_t)len && out[len - 9] == 0);
    }
    return fd;
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void rtt(int n)
{
    while (n-- > 0) {
        double begun = now_us();
        int fd = open_to(ECHO);
        double there = now_us();
        CHECK(send(fd, "x", 1, 0) == 1 && recv(fd, buffer, 1, 0) == 1);
        printf("%.0f %.0f\n", there - begun, now_us() - begun);
        close(fd);
    }
}

static void up(int mb)
{
    int fd = open_to(DISCARD);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < mb * 4; i++)
        CHECK(send(fd, buffer, 1 << 18, 0) == 1 << 18);
    shutdown(fd, SHUT_WR);
    CHECK(recv(fd, buffer, 1, 0) == 1);
    tell_rate(mb, begun, processor);
}

static void down(int mb)
{
    int fd = open_to(SOURCE), len = sprintf(buffer, "%d\n", mb);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(send(fd, buffer, (size_t)len, 0) == len);
    for (size_t left = (size_t)mb << 20; left > 0;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        CHECK(n > 0);
        left -= (size_t)n;
    }
    tell_rate(mb, begun, processor);
}

static void pingpong(int n)
{
    int fd = open_to(ECHO);
    no_delay(fd);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++) {
        CHECK(send(fd, buffer, 64, 0) == 64);
        CHECK(recv(fd, buffer, 64, MSG_WAITALL) == 64);
    }
    tell_rate(n, begun, processor);
}

static void rate(int n)
{
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++)
        close(open_to(ECHO));
    tell_rate(n, begun, processor);
}

/* --- without blocking --- */

static int ep;
static struct {
    int fd;
    bool asked, ready;
} crowd[MOST];

/* Returns true when connection I has come as far as a program waits for: writable, no error, and
 * where this program speaks SOCKS5 itself the reply is there. */
static bool further(unsigned i)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
    uint8_t io[64];
    size_t len, n = flight(io, ECHO, &len);
    int error = 0;
    socklen_t size = sizeof error;
    if (!crowd[i].asked)
        getsockopt(crowd[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        return false;
    if (how == PLAIN)
        return crowd[i].ready = true;
    if (!crowd[i].asked) {
        crowd[i].asked = send(crowd[i].fd, io, n, 0) == (ssize_t)n;
        epoll_ctl(ep, EPOLL_CTL_MOD, crowd[i].fd, &e);
        return false;
    }
    return crowd[i].ready = recv(crowd[i].fd, io, len, 0) == (ssize_t)len && io[len - 9] == 0;
}

/* Microseconds this thread was ready to run and did not, since others did. */
static double kept_waiting(void)
{
    static int fd = -1;
    char text[100] = "", *end;
    if (fd < 0)
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    (void)!pread(fd, text, sizeof text - 1, 0);
    strtoull(text, &end, 10);
    return (double)strtoull(end, NULL, 10) / 1e3;
}

/* Returns the microseconds connect() took, but for those in which the machine did something else.
 */
static double begin(unsigned i)
{
    struct sockaddr_in to = target(ECHO);
    struct epoll_event e = {.events = EPOLLOUT, .data.u32 = i};
    crowd[i].asked = crowd[i].ready = false;
    crowd[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    double waited = kept_waiting(), before = now_us();
    int r = connect(crowd[i].fd, (struct sockaddr *)&to, sizeof to), error = errno;
    double took = now_us() - before - (kept_waiting() - waited);
    errno = error;
    if (r == 0 || errno == EINPROGRESS)
        epoll_ctl(ep, EPOLL_CTL_ADD, crowd[i].fd, &e);
    return took;
}

static bool finished(unsigned i)
{
    if (crowd[i].ready)
        epoll_ctl(ep, EPOLL_CTL_DEL, crowd[i].fd, NULL);
    return crowd[i].ready;
}

static void epoll(int n)
{
    struct epoll_event e;
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++) {
        begin(0);
        do /* a signal may be how who covers this program gets on */
            CHECK(epoll_wait(ep, &e, 1, 10000) == 1 || errno == EINTR);
        while (!further(0));
        close(crowd[0].fd);
    }
    tell_rate(n, begun, processor);
}

/* Each of the ready ones gets an octet, all of them a second for it to come back. */
static int echoing(int many)
{
    double end = now_us() + 1e6;
    int usable = 0;
    for (int i = 0; i < many; i++)
        if (crowd[i].ready && send(crowd[i].fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
            crowd[i].ready = false;
    for (int i = 0; i < many; i++) {
        struct pollfd p = {crowd[i].fd, POLLIN, 0};
        double left = (end - now_us()) / 1e3;
        if (crowd[i].ready && poll(&p, 1, left > 0 ? (int)left : 0) == 1)
            usable += recv(crowd[i].fd, buffer, 1, MSG_DONTWAIT) == 1 && buffer[0] == 'x';
    }
    return usable;
}

static void all_at_once(int many)
{
    struct epoll_event got[64];
    double longest = 0, begun = now_us(), end = begun + seconds * 1e6, last = begun;
    int tried = 0, ready = 0;
    CHECK(many <= MOST);
    for (; tried < many && now_us() < end; tried++) {
        double took = begin((unsigned)tried);
        longest = took > longest ? took : longest;
    }
    for (end += 5e5; ready < tried && now_us() < end;) {
        int n = epoll_wait(ep, got, 64, 100);
        for (int k = 0; k < n; k++) {
            if (!crowd[got[k].data.u32].ready)
                further(got[k].data.u32);
            ready += finished(got[k].data.u32);
        }
        last = n > 0 ? now_us() : last;
    }
    printf("%d %d %.0f %.0f\n", ready, echoing(tried), last - begun, longest);
}

/* --- memory, names --- */

static long memory_now(void)
{
    char *at_line, text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    long kib = 0;
    close(fd);
    CHECK(n > 0);
    text[n] = 0;
    static const char *const kinds[] = {"Pss_Anon:", "Pss_Shmem:"};
    for (int i = 0; i < 2; i++) {
        CHECK((at_line = strstr(text, kinds[i])) != NULL);
        kib += atol(at_line + strlen(kinds[i]));
    }
    return kib * 1024;
}

static void memory(int n)
{
    double end = now_us() + seconds * 1e6;
    int opened = 0;
    open_to(ECHO);
    memory_now();
    long before = memory_now();
    for (; opened < n && now_us() < end; opened++)
        open_to(ECHO);
    printf("%d %.1f\n", opened, (double)(memory_now() - before) / opened);
}

static void resolve(int n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list;
    for (int i = 0; i < n; i++) {
        CHECK(getaddrinfo("some-host.wild.example", "80", &hints, &list) == 0);
        freeaddrinfo(list);
    }
}

static void name(int n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list;
    for (int i = 0; i < n; i++) {
        CHECK(getaddrinfo("some-host.wild.example", "7", &hints, &list) == 0);
        int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol);
        CHECK(connect(fd, list->ai_addr, list->ai_addrlen) == 0);
        close(fd);
        freeaddrinfo(list);
    }
}

static void none(int n)
{
    for (int i = 0; i < n; i++)
        close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const struct {
    const char *name;
    void (*run)(int n);
} modes[] = {{"rtt", rtt},         {"up", up},       {"down", down},         {"pingpong", pingpong},
             {"rate", rate},       {"epoll", epoll}, {"crowd", all_at_once}, {"memory", memory},
             {"resolve", resolve}, {"name", name},   {"none", none}};

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc > 1 && argv[1][0] == '-') {
        how = argv[1][1] == 'u' ? LOGIN : SELF;
        argv++, argc--;
    }
    CHECK(argc >= 4);
    address = argv[2];
    if (argc > 4)
        seconds = atof(argv[4]);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    ep = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(atoi(argv[3]));
            return 0;
        }
    return 2;
}
