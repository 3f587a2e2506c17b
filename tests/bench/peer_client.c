/* The client of the benchmarks: an ordinary program, which runs covered by the tool that is measured, or bare. With -s
 * or -u it speaks SOCKS5 itself, which is the floor.
 *
 *   peer_client [-w] [-s|-u] MODE ADDRESS N [SECONDS]
 *
 * ADDRESS is that of the target. With -s or -u it is that of the server, and the program requests the target from it:
 * greeting and request, for -u with user and password between them, in one write.
 *
 *   rtt      N times: microseconds of a blocking connect(), and until an octet came back after it
 *   up, down MiB per second, N of them      pingpong   round trips per second of 64 octets, N of them
 *   rate     blocking connects per second, N one after another; epoll: the same with non-blocking connects;
 *            for these, also the processor time of this process in microseconds
 *   crowd    N at once: how many became writable without an error within SECONDS, how many of them
 *            then echoed, microseconds until the last was writable, of the longest connect()
 *   memory   N that remain open: how many were opened in SECONDS, octets of memory for each
 *   resolve  getaddrinfo(), N times; name: and a blocking connect() to the result; none: a socket
 *            made and closed */
#include "bench.h"
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { ECHO = 7, DISCARD = 9, SOURCE = 19, MOST = 10000 };

static enum { PLAIN, SELF, LOGIN } how;
static const char *address;
static double seconds = 1e9;
static char buffer[1 << 18];

static const char *login = "\1\5bench\5bench";

/* Writes to OUT the octets for the server: greeting, for -u user and password, and the request for PORT. Stores the
 * length of the replies in LEN. Returns the number of octets. */
static size_t build_request(uint8_t *out, int port, size_t *len)
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

static struct sockaddr_in get_target(int port)
{
    return make_address(address, how == PLAIN ? port : how == LOGIN ? 1081 : 1080);
}

static int open_connection(int port)
{
    struct sockaddr_in to = get_target(port);
    uint8_t out[64];
    size_t len, n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    if (how != PLAIN) {
        n = build_request(out, port, &len);
        CHECK(send(fd, out, n, 0) == (ssize_t)n);
        CHECK(recv(fd, out, len, MSG_WAITALL) == (ssize_t)len && out[len - 9] == 0);
    }
    return fd;
}

static void set_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void measure_rtt(int n)
{
    while (n-- > 0) {
        double begun = now_us();
        int fd = open_connection(ECHO);
        double there = now_us();
        CHECK(send(fd, "x", 1, 0) == 1 && recv(fd, buffer, 1, 0) == 1);
        printf("%.0f %.0f\n", there - begun, now_us() - begun);
        close(fd);
    }
}

static void measure_up(int mb)
{
    int fd = open_connection(DISCARD);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < mb * 4; i++)
        CHECK(send(fd, buffer, 1 << 18, 0) == 1 << 18);
    shutdown(fd, SHUT_WR);
    CHECK(recv(fd, buffer, 1, 0) == 1);
    print_rate(mb, begun, processor);
}

static void measure_down(int mb)
{
    int fd = open_connection(SOURCE), len = sprintf(buffer, "%d\n", mb);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(send(fd, buffer, (size_t)len, 0) == len);
    for (size_t left = (size_t)mb << 20; left > 0;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        CHECK(n > 0);
        left -= (size_t)n;
    }
    print_rate(mb, begun, processor);
}

static void measure_pingpong(int n)
{
    int fd = open_connection(ECHO);
    set_no_delay(fd);
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++) {
        CHECK(send(fd, buffer, 64, 0) == 64);
        CHECK(recv(fd, buffer, 64, MSG_WAITALL) == 64);
    }
    print_rate(n, begun, processor);
}

static void measure_rate(int n)
{
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++)
        close(open_connection(ECHO));
    print_rate(n, begun, processor);
}

/* --- without blocking --- */

static int ep;
static struct {
    int fd;
    bool asked, ready;
} crowd[MOST];

/* Continues connection I. Returns true when it is as far as a program waits for: it is writable without an error and,
 * if this program speaks SOCKS5 itself, the reply has come. */
static bool advance_connection(unsigned i)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
    uint8_t io[64];
    size_t len, n = build_request(io, ECHO, &len);
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

/* Returns the microseconds for which this thread was ready to run but others ran. */
static double get_waiting_time(void)
{
    static int fd = -1;
    char text[100] = "", *end;
    if (fd < 0)
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    (void)!pread(fd, text, sizeof text - 1, 0);
    strtoull(text, &end, 10);
    return (double)strtoull(end, NULL, 10) / 1e3;
}

/* Starts connection I. Returns the microseconds that connect() took, without those in which others ran. */
static double start_connection(unsigned i)
{
    struct sockaddr_in to = get_target(ECHO);
    struct epoll_event e = {.events = EPOLLOUT, .data.u32 = i};
    crowd[i].asked = crowd[i].ready = false;
    crowd[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    double waited = get_waiting_time(), before = now_us();
    int r = connect(crowd[i].fd, (struct sockaddr *)&to, sizeof to), error = errno;
    double took = now_us() - before - (get_waiting_time() - waited);
    errno = error;
    if (r == 0 || errno == EINPROGRESS)
        epoll_ctl(ep, EPOLL_CTL_ADD, crowd[i].fd, &e);
    return took;
}

static bool finish_connection(unsigned i)
{
    if (crowd[i].ready)
        epoll_ctl(ep, EPOLL_CTL_DEL, crowd[i].fd, NULL);
    return crowd[i].ready;
}

static void measure_epoll(int n)
{
    struct epoll_event e;
    double begun = now_us(), processor = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++) {
        start_connection(0);
        do /* the tool that covers this program may use signals */
            CHECK(epoll_wait(ep, &e, 1, 10000) == 1 || errno == EINTR);
        while (!advance_connection(0));
        close(crowd[0].fd);
    }
    print_rate(n, begun, processor);
}

/* Sends an octet on each connection that is ready. Returns how many octets came back within a second. */
static int count_echoes(int many)
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

static void measure_crowd(int many)
{
    struct epoll_event got[64];
    double longest = 0, begun = now_us(), end = begun + seconds * 1e6, last = begun;
    int tried = 0, ready = 0;
    CHECK(many <= MOST);
    for (; tried < many && now_us() < end; tried++) {
        double took = start_connection((unsigned)tried);
        longest = took > longest ? took : longest;
    }
    for (end += 5e5; ready < tried && now_us() < end;) {
        int n = epoll_wait(ep, got, 64, 100);
        for (int k = 0; k < n; k++) {
            if (!crowd[got[k].data.u32].ready)
                advance_connection(got[k].data.u32);
            ready += finish_connection(got[k].data.u32);
        }
        last = n > 0 ? now_us() : last;
    }
    printf("%d %d %.0f %.0f\n", ready, count_echoes(tried), last - begun, longest);
}

/* --- memory, names --- */

static long get_memory(void)
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

static void measure_memory(int n)
{
    double end = now_us() + seconds * 1e6;
    int opened = 0;
    open_connection(ECHO);
    get_memory();
    long before = get_memory();
    for (; opened < n && now_us() < end; opened++)
        open_connection(ECHO);
    printf("%d %.1f\n", opened, (double)(get_memory() - before) / opened);
}

static void measure_resolve(int n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list;
    for (int i = 0; i < n; i++) {
        CHECK(getaddrinfo("some-host.wild.example", "80", &hints, &list) == 0);
        freeaddrinfo(list);
    }
}

static void measure_name(int n)
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

static void measure_none(int n)
{
    for (int i = 0; i < n; i++)
        close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const struct {
    const char *name;
    void (*run)(int n);
} modes[] = {
    {"rtt", measure_rtt},           {"up", measure_up},         {"down", measure_down},
    {"pingpong", measure_pingpong}, {"rate", measure_rate},     {"epoll", measure_epoll},
    {"crowd", measure_crowd},       {"memory", measure_memory}, {"resolve", measure_resolve},
    {"name", measure_name},         {"none", measure_none}};

int main(int argc, char **argv)
{
    struct rlimit limit;
    for (; argc > 1 && argv[1][0] == '-'; argv++, argc--)
        if (argv[1][1] == 'w')
            stops = true;
        else
            how = argv[1][1] == 'u' ? LOGIN : SELF;
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
            stop_before();
            modes[i].run(atoi(argv[3]));
            stop_after();
            return 0;
        }
    return 2;
}
