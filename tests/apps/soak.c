/* A day in the life, shortened: threads that for SECONDS do what programs do, each in ways of its own and
 * all at once: look-ups and connections to GOOD names, epoll, children that finish what was begun,
 * other programs that go on with it, datagrams, listeners; and connections to BAD, whose server does
 * as it likes. Every octet is checked; whatever GOOD says fails is a failure. Afterwards as much is
 * open, and held by the engine (INSIDE), as after a round of each at the beginning. */
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
    unsigned number; /* of its rounds, which makes octets its own */
};

/* What NAME stands for, as TYPE. */
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

static void waits(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
}

/* Octets nobody else sends, there and back over FD, which waits. */
static void own_octets(int fd, struct worker *w)
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

static const char *good(const struct worker *w)
{
    return goods[w->number % 2];
}

static void connects(struct worker *w)
{
    struct peer p = look_up(good(w), SOCK_STREAM);
    int fd = tcp_connect(&p);
    own_octets(fd, w);
    close(fd);
}

static void by_epoll(struct worker *w)
{
    struct peer p = look_up(good(w), SOCK_STREAM);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
    int fd = tcp_begin(&p), ep = epoll_create1(EPOLL_CLOEXEC), twin = dup(fd);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, twin, &e) == 0);
    close(fd);
    CHECK(epoll_wait(ep, &got, 1, 30000) == 1);
    int error = so_error(twin);
    if (error)
        FAIL("%s, round %u: %s", good(w), w->number, strerror(error));
    waits(twin);
    own_octets(twin, w);
    close(ep);
    close(twin);
}

/* A child finishes it, or another program does. */
static void by_others(struct worker *w)
{
    struct peer p = look_up(good(w), SOCK_STREAM);
    char number[16];
    int fd = tcp_begin(&p);
    waits(fd);
    snprintf(number, sizeof(number), "%d", fd);
    pid_t pid = fork();
    if (pid == 0) {
        if (w->kind == 3)
            execl("/proc/self/exe", "soak", "after", number, (char *)NULL);
        own_octets(fd, w);
        _exit(0);
    }
    child_ends(pid);
    own_octets(fd, w);
    close(fd);
}

/* Datagrams may be lost; what comes is what was sent. */
static void datagrams(struct worker *w)
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

static void listens(struct worker *w)
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

/* An end, in time. */
static void misbehaved(struct worker *w)
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

static void (*const kinds[])(struct worker *) = {connects,  by_epoll, by_others, by_others,
                                                 datagrams, listens,  misbehaved};
#define KINDS ((int)(sizeof(kinds) / sizeof(*kinds)))

static void *works(void *arg)
{
    struct worker *w = arg;
    do {
        usleep(PAUSE); /* a server takes a moment to end what served a connection */
        kinds[w->kind](w);
        w->number++;
        rounds++;
    } while (now_us() < until);
    return NULL;
}

static void all_at_once(struct worker *workers, int n)
{
    pthread_t threads[KINDS];
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&threads[i], NULL, works, &workers[i]) == 0);
    for (int i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Records and associations that are in use, and what the gates of the hooks count. What children had
 * that are gone by now is the tree's, and found again when it is short. */
static int held(void)
{
    int n = 0;
#ifdef INSIDE
    struct s5_engine *e = &s5_begin_engine;
    struct s5_record *records = atomic_load(&e->registry.records);
    struct s5_association *pool = atomic_load(&e->associations);
    for (uint32_t i = 0; i < atomic_load(&e->registry.records_used); i++) {
        uint32_t state = atomic_load(&records[i].state);
        n += state != S5_RECORD_FREE && state != S5_RECORD_READY; /* whose doubt is cleared up later */
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
        own_octets(atoi(argv[2]), &w);
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
        all_at_once(workers, KINDS); /* what stays is there */
    int open = open_descriptors(), kept = held();
    until = now_us() + atoi(argv[5]) * 1000000LL;
    all_at_once(workers, KINDS);
    descriptors_within(open);
    if (held() > kept)
        FAIL("%d records, associations and others, not %d", held(), kept);
    printf("%ld rounds, %ld refused\n", rounds, refused);
    return 0;
}
