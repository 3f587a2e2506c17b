/* A mixed load. For SECONDS, threads concurrently do what programs do, each kind of thread something else:
 * look-ups and connections to the names GOOD, epoll, children that finish a connection, other programs that
 * continue one, datagrams, listeners. One kind connects to BAD, whose server misbehaves. Every octet is checked.
 * Any failure of GOOD is a failure of the test. At the end no more descriptors are open, and no more entries of
 * the engine are in use (INSIDE), than after three rounds of each kind at the beginning. */
#include "app.h"
#include <netdb.h>
#include <pthread.h>
#include <sys/epoll.h>
#ifdef INSIDE
#include "association.h"
#include "engine.h"
extern struct s5_engine s5_begin_engine;
#endif

enum { PAUSE = 10000 };

static const char *port, *goods[2], *bad;
static int64_t until;
static _Atomic long rounds, refused;

struct worker {
    int kind;
    unsigned number; /* counts its rounds, which makes its octets unique */
};

/* Looks up NAME for sockets of type TYPE. */
static struct peer look_up(const char *name, int type)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = type}, *list;
    struct peer found = {.family = AF_INET};
    int r = getaddrinfo(name, port, &hints, &list);
    if (r != 0)
        FAIL("%s: %s", name, gai_strerror(r));
    found.len = list->ai_addrlen;
    memcpy(&found.addr, list->ai_addr, found.len);
    freeaddrinfo(list);
    return found;
}

static void make_blocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
}

/* Sends octets that no other thread sends over the blocking FD, and receives them again. */
static void check_echo(int fd, struct worker *w)
{
    enum { MOST = 5000 };
    uint8_t there[MOST], back[MOST];
    size_t n = 1 + (w->number * 977u) % MOST;
    for (size_t i = 0; i < n; i++)
        there[i] = (uint8_t)(i * 31 + w->number * 7 + (unsigned)w->kind * 13);
    if (send(fd, there, n, MSG_NOSIGNAL) != (ssize_t)n)
        FAIL("kind %d, round %u: send", w->kind, w->number);
    size_t got = 0;
    for (ssize_t r = 1; got < n && r > 0; got += r > 0 ? (size_t)r : 0)
        r = recv(fd, back + got, n - got, 0);
    if (got != n || memcmp(there, back, n) != 0)
        FAIL("kind %d, round %u: %zu octets of %zu, or others", w->kind, w->number, got, n);
}

static const char *good_name(const struct worker *w)
{
    return goods[w->number % 2];
}

static void run_connect(struct worker *w)
{
    struct peer p = look_up(good_name(w), SOCK_STREAM);
    int fd = tcp_connect(&p);
    check_echo(fd, w);
    close(fd);
}

static void run_epoll(struct worker *w)
{
    struct peer p = look_up(good_name(w), SOCK_STREAM);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
    int fd = tcp_begin(&p), ep = epoll_create1(EPOLL_CLOEXEC), twin = dup(fd);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, twin, &e) == 0);
    close(fd);
    CHECK(epoll_wait(ep, &got, 1, 30000) == 1);
    int error = so_error(twin);
    if (error)
        FAIL("%s, round %u: %s", good_name(w), w->number, strerror(error));
    make_blocking(twin);
    check_echo(twin, w);
    close(ep);
    close(twin);
}

/* A child (kind 2) or another program (kind 3) finishes the connection. */
static void run_other_process(struct worker *w)
{
    struct peer p = look_up(good_name(w), SOCK_STREAM);
    char number[16];
    int fd = tcp_begin(&p);
    make_blocking(fd);
    snprintf(number, sizeof(number), "%d", fd);
    pid_t pid = fork();
    if (pid == 0) {
        if (w->kind == 3)
            execl("/proc/self/exe", "soak", "after", number, (char *)NULL);
        check_echo(fd, w);
        _exit(0);
    }
    child_ends(pid);
    check_echo(fd, w);
    close(fd);
}

/* Datagrams may be lost. Those that arrive must be the ones that were sent. */
static void run_datagrams(struct worker *w)
{
    struct peer p = look_up(goods[0], SOCK_DGRAM);
    struct timeval timeout = {1, 0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    unsigned back;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
    for (int attempt = 0;; attempt++) {
        if (sendto(fd, &w->number, sizeof(w->number), 0, peer_addr(&p), p.len) != sizeof(w->number))
            FAIL("sendto");
        if (recv(fd, &back, sizeof(back), 0) == sizeof(back))
            break;
        CHECK(attempt < 10);
    }
    CHECK(back == w->number);
    close(fd);
}

static void run_listener(struct worker *w)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct pollfd pfd = {.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
    socklen_t len = sizeof(own);
    (void)w;
    inet_pton(AF_INET, "10.88.1.1", &own.sin_addr);
    CHECK(bind(pfd.fd, (struct sockaddr *)&own, sizeof(own)) == 0 && listen(pfd.fd, 5) == 0);
    CHECK(getsockname(pfd.fd, (struct sockaddr *)&own, &len) == 0 && own.sin_port != 0);
    CHECK(poll(&pfd, 1, 20) == 0);
    close(pfd.fd);
}

/* The attempt must end in time. */
static void run_misbehaving(struct worker *w)
{
    struct peer p = look_up(bad, SOCK_STREAM);
    struct pollfd pfd = {.fd = tcp_socket(&p, w->number % 2 ? SOCK_NONBLOCK : 0), .events = POLLOUT};
    int error = connect(pfd.fd, peer_addr(&p), p.len) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        CHECK(poll(&pfd, 1, 30000) == 1);
        error = so_error(pfd.fd);
    }
    if (error && error != ECONNREFUSED && error != EACCES && error != EPROTO && error != ETIMEDOUT &&
        error != ECONNRESET && error != ECONNABORTED)
        FAIL("kind %d, round %u: %s", w->kind, w->number, strerror(error));
    refused += error != 0;
    close(pfd.fd);
}

static void (*const kinds[])(struct worker *) = {run_connect,   run_epoll,    run_other_process, run_other_process,
                                                 run_datagrams, run_listener, run_misbehaving};
#define KINDS ((int)(sizeof(kinds) / sizeof(*kinds)))

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    do {
        usleep(PAUSE); /* a server needs a moment to end the process of a connection */
        kinds[w->kind](w);
        w->number++;
        rounds++;
    } while (now_us() < until);
    return NULL;
}

static void run_all(struct worker *workers, int n)
{
    pthread_t threads[KINDS];
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&threads[i], NULL, run_worker, &workers[i]) == 0);
    for (int i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Returns how many records and associations are in use, plus the counters that the hooks check first. What ended
 * children held is not counted: it is in shared memory, and is reclaimed when it is needed. */
static int count_held(void)
{
    int n = 0;
#ifdef INSIDE
    struct s5_engine *e = &s5_begin_engine;
    struct s5_record *records = atomic_load(&e->registry.records);
    struct s5_association *pool = atomic_load(&e->associations);
    for (uint32_t i = 0; i < atomic_load(&e->registry.records_used); i++) {
        uint32_t state = atomic_load(&records[i].state);
        n += state != S5_RECORD_FREE && state != S5_RECORD_READY; /* READY ones are released by a later check */
    }
    for (uint32_t i = 0; i < atomic_load(&e->associations_top); i++)
        n += atomic_load(&pool[i].used) != 0;
    n += (int)atomic_load(&e->registry.inflight_count) + (int)atomic_load(&e->registry.listening);
#endif
    return n;
}

int main(int argc, char **argv)
{
    struct worker workers[KINDS];
    if (argc == 3) { /* the other program */
        struct worker w = {2, 1234};
        check_echo(atoi(argv[2]), &w);
        return 0;
    }
    CHECK(argc == 6);
    port = argv[1];
    goods[0] = argv[2];
    goods[1] = argv[3];
    bad = argv[4];
    for (int i = 0; i < KINDS; i++)
        workers[i] = (struct worker){i % KINDS, (unsigned)i * 1000};
    for (int i = 0; i < 3; i++)
        run_all(workers, KINDS); /* allocates what is kept */
    int open = open_descriptors(), kept = count_held();
    until = now_us() + atoi(argv[5]) * 1000000LL;
    run_all(workers, KINDS);
    descriptors_within(open);
    if (count_held() > kept)
        FAIL("%d records, associations and others, not %d", count_held(), kept);
    printf("%ld rounds, %ld refused\n", rounds, refused);
    return 0;
}
