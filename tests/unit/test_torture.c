/* A server that fails at every octet of its replies, in every way, with every manner of cutting its octets:
 * connect() with each way of waiting for it, BIND and UDP ASSOCIATE. In each case the program must get the errno
 * for the position of the failure, in time. No descriptor may be leaked, all octets after a successful reply
 * belong to the program, and only the server may be connected to. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "epoll.h"
#include "connect.h"
#include "bind.h"
#include "accept.h"
#include "poll_select.h"
#include <stdio.h>

enum how { BLOCK, POLL, SELECT, EPOLL_BEFORE, EPOLL_AFTER, EPOLL_ONCE };

static const char *const how_names[] = {"block",        "poll",        "select",
                                        "epoll before", "epoll after", "epoll once"};

#define LATE (-1) /* no result: the program gave up */

/* Returns one bit for each errno that can occur. */
static uint64_t errno_bit(int error)
{
    static const int known[] = {0,      LATE,         ECONNREFUSED, EACCES,     EPROTO,    ECONNRESET,
                                EAGAIN, ECONNABORTED, EOPNOTSUPP,   ETIMEDOUT,  ENETUNREACH,
                                EHOSTUNREACH};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == error)
            return 1ull << i;
    return 1ull << 63;
}

static const char *describe_case(const struct scene *s, const char *how)
{
    static char text[256];
    const struct fake_manner *m = &fake_net.manner;
    snprintf(text, sizeof text, "%s, method %s, pipeline %s, octet %zu, %s%s%s%s, cut at %zu and %zu",
             how, method_names[s->method], pipeline_names[s->pipeline], s->at, way_names[s->way],
             m->each ? ", each" : "", m->eager ? ", eager" : "", m->apart ? ", apart" : "", m->cut_in,
             m->cut_out);
    return text;
}

/* --- the program --- */

/* True if FD becomes writable within MS, as seen by the calls HOW. */
static bool becomes_writable(struct s5_engine *e, int fd, int ep, enum how how, int ms)
{
    struct timespec limit = milliseconds(ms);
    struct pollfd p = {fd, POLLOUT, 0};
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 7}, got;
    fd_set set;
    switch (how) {
    case SELECT:
        FD_ZERO(&set);
        FD_SET(fd, &set);
        return s5_wait_select(e, fd + 1, NULL, &set, NULL, &limit, NULL) == 1 && FD_ISSET(fd, &set);
    case EPOLL_AFTER:
        cr_assert_eq(s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, fd, &event), 0);
        /* fallthrough */
    case EPOLL_BEFORE:
    case EPOLL_ONCE:
        return s5_epoll_wait(e, ep, &got, 1, 0, &limit, NULL) == 1 && got.data.u64 == 7;
    default:
        return s5_wait_poll(e, &p, 1, &limit, NULL) == 1;
    }
}

/* Connects FD and waits for at most MS. Returns 0, an errno, or LATE. */
static int connect_and_wait(struct s5_engine *e, int fd, int ep, enum how how, int ms)
{
    struct sockaddr_in to = target(80);
    struct epoll_event event = {.events = EPOLLOUT | (how == EPOLL_ONCE ? EPOLLONESHOT : EPOLLET),
                                .data.u64 = 7};
    int error = 0;
    socklen_t len = sizeof error;
    if (how == EPOLL_BEFORE || how == EPOLL_ONCE)
        cr_assert_eq(s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, fd, &event), 0);
    int r = s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
    if (how == BLOCK || r != -EINPROGRESS)
        return -r;
    if (!becomes_writable(e, fd, ep, how, ms))
        return LATE;
    cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

/* The same on a new socket. *RET_SAID gets what the peer sends then, *RET_N its length. */
static int connect_new(struct s5_engine *e, enum how how, int ms, char ret_said[64], ssize_t *ret_n)
{
    int ep = how >= EPOLL_BEFORE ? fake_epoll() : -1;
    int fd = fake_socket(AF_INET, SOCK_STREAM | (how == BLOCK ? 0 : SOCK_NONBLOCK));
    int error = connect_and_wait(e, fd, ep, how, ms);
    *ret_n = error == 0 ? said(e, fd, ret_said, 64) : -1;
    if (error) { /* not connected, and the program cannot send */
        struct sockaddr_in peer;
        socklen_t len = sizeof peer;
        cr_assert(error == LATE || fake_calls.getpeername(fd, (struct sockaddr *)&peer, &len) < 0);
        cr_assert_lt(s5_send(e, fd, "mine", 4, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
    }
    if (error == 0 && *ret_n >= 0) {
        struct sockaddr_in peer = {.sin_family = 0}, to = target(80);
        socklen_t len = sizeof peer;
        int r = s5_getpeername(e, fd, (struct sockaddr *)&peer, &len);
        cr_assert(r == -ENOTCONN || (r == 0 && memcmp(&peer, &to, sizeof to) == 0));
    }
    cr_assert_eq(s5_close(e, fd), 0);
    if (ep >= 0)
        cr_assert_eq(s5_close(e, ep), 0);
    return error;
}

/* --- the expected results --- */

/* Returns the errnos that a failure may have. *RET_THEIRS gets the octets that belong to the program, or NULL if
 * there are none or a reset may discard them. */
static uint64_t get_expected(const struct scene *s, const char **ret_theirs)
{
    size_t head = head_size(s->method), total = whole_size(s);
    /* A server that closes while the client is still writing resets the connection. */
    bool resets = s->way == RESET || (s->way == CLOSE && fake_net.manner.each);
    uint64_t reset = resets ? errno_bit(ECONNRESET) : 0;
    *ret_theirs = NULL;
    if (s->at == total) {
        if (s->way == GOOD)
            *ret_theirs = HELLO;
        else if (s->way == GARBAGE)
            *ret_theirs = "\xff" TRAILER;
        else if (s->way == CLOSE || s->way == HALF_CLOSE)
            *ret_theirs = "";
        return errno_bit(0) | reset;
    }
    if (s->way == STALL)
        return errno_bit(ETIMEDOUT);
    if (s->way == GARBAGE) {
        if (s->at == 1 || (s->method == PASSWORD && s->at == 3))
            return errno_bit(EACCES);
        if (s->at < head + 4) /* RSV is not checked, but ATYP is */
            return errno_bit(EPROTO);
        *ret_theirs = TRAILER; /* any octets are a valid address and port */
        return errno_bit(0);
    }
    if (s->at < 2 || (s->at >= head && s->at < head + 2))
        return errno_bit(ECONNREFUSED) | reset;
    return errno_bit(s->at < head ? EACCES : EPROTO) | reset;
}

static void check_server(const struct scene *s, const char *what)
{
    unsigned most = s->pipeline == AUTO ? 2 : 1;
    cr_assert(fake_net.dialled >= 1 && fake_net.dialled <= most, "%s: dialled %u times", what,
              fake_net.dialled);
    for (unsigned i = 0; i < fake_net.n_peers; i++)
        check_words(s, &fake_net.peers[i], s->pipeline == OFF || i > 0, what);
}

static void check_connect(struct s5_engine *e, struct scene *s, enum how how, const struct fake_manner *m)
{
    char got[64];
    const char *theirs;
    ssize_t n;
    set_scene(e, s);
    fake_net.manner = *m;
    const char *what = describe_case(s, how_names[how]);
    uint64_t begun = fake_net.now;
    int error = connect_new(e, how, LONG_WAIT, got, &n);
    uint64_t allowed = get_expected(s, &theirs), took = fake_net.now - begun;
    cr_assert(errno_bit(error) & allowed, "%s: %s", what, error < 0 ? "late" : strerrorname_np(error));
    if (error == 0 && theirs)
        cr_assert(n == (ssize_t)strlen(theirs) && memcmp(got, theirs, (size_t)n) == 0,
                  "%s: %zd octets", what, n);
    if (error == 0 && s->way == STALL)
        cr_assert_eq(n, -1, "%s: %zd octets", what, n);
    cr_assert(took < (error == ETIMEDOUT ? TIMEOUT + 1 : 3) * S5_CLOCK_SECOND,
              "%s: took %g s", what, (double)took / (double)S5_CLOCK_SECOND);
    check_server(s, what);
    check_clean(e, what);
}

static const struct fake_manner manners[] = {
    {.each = false}, {.eager = true}, {.apart = true}, {.each = true}, {.each = true, .apart = true},
};
#define MANNERS (sizeof manners / sizeof *manners)

static void fail_at_every_octet(enum method method, enum how how)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.method = method, .command = S5_CONNECT};
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (s.at = 0; s.at <= whole_size(&s); s.at++)
            for (s.way = s.at == whole_size(&s) ? GOOD : CLOSE; s.way < WAYS; s.way++)
                for (size_t m = 0; m < MANNERS; m++)
                    check_connect(e, &s, how, &manners[m]);
    end_engine(e);
}

/* Short reads and short writes, at every combination of positions. */
static void cut_at_every_octet(enum method method, enum how how)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.method = method, .command = S5_CONNECT};
    uint8_t words[128];
    size_t greeting, auth, n = expected_words(&s, words, &greeting, &auth);
    s.at = whole_size(&s);
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (size_t in = 0; in < s.at + sizeof HELLO - 1; in++)
            for (size_t out = 0; out < n; out++)
                for (int eager = 0; eager < 2; eager++)
                    check_connect(e, &s, how,
                                  &(struct fake_manner){.cut_in = in, .cut_out = out, .eager = eager});
    end_engine(e);
}

#define EACH(method, how, name)                                                                    \
    Test(torture, failures_at_every_octet_##name)                                                  \
    {                                                                                              \
        fail_at_every_octet(method, how);                                                          \
    }                                                                                              \
    Test(torture, short_reads_and_writes_##name)                                                   \
    {                                                                                              \
        cut_at_every_octet(method, how);                                                           \
    }

EACH(NONE, BLOCK, none_block)
EACH(NONE, POLL, none_poll)
EACH(NONE, SELECT, none_select)
EACH(NONE, EPOLL_BEFORE, none_epoll_before)
EACH(NONE, EPOLL_AFTER, none_epoll_after)
EACH(NONE, EPOLL_ONCE, none_epoll_once)
EACH(PASSWORD, BLOCK, password_block)
EACH(PASSWORD, POLL, password_poll)
EACH(PASSWORD, SELECT, password_select)
EACH(PASSWORD, EPOLL_BEFORE, password_epoll_before)
EACH(PASSWORD, EPOLL_AFTER, password_epoll_after)
EACH(PASSWORD, EPOLL_ONCE, password_epoll_once)

/* --- before the greeting --- */

/* The socket becomes writable at the same time as the end, or unexpected octets, arrive. */
Test(torture, a_server_that_ends_before_the_greeting)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .early = true};
    for (s.method = 0; s.method < METHODS; s.method++)
        for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
            for (s.way = CLOSE; s.way < WAYS; s.way++)
                for (enum how how = BLOCK; how <= EPOLL_ONCE; how++)
                    for (size_t m = 0; m < MANNERS; m++)
                        check_connect(e, &s, how, &manners[m]);
    end_engine(e);
}

/* --- silence --- */

Test(torture, silence_at_every_octet_until_the_program_gives_up)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.way = STALL, .command = S5_CONNECT};
    char got[64];
    ssize_t n;
    for (s.method = 0; s.method < METHODS; s.method++)
        for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
            for (s.at = 0; s.at < whole_size(&s); s.at++)
                for (enum how how = POLL; how <= EPOLL_ONCE; how++) {
                    set_scene(e, &s);
                    const char *what = describe_case(&s, how_names[how]);
                    cr_assert_eq(connect_new(e, how, A_WHILE, got, &n), LATE, "%s", what);
                    check_server(&s, what);
                    check_clean(e, what);
                }
    end_engine(e);
}

Test(torture, silence_at_every_octet_with_SO_SNDTIMEO)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.way = STALL, .command = S5_CONNECT};
    struct timeval limit = {3, 0};
    struct sockaddr_in to = target(80);
    for (s.method = 0; s.method < METHODS; s.method++)
        for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
            for (s.at = 0; s.at < whole_size(&s); s.at++) {
                set_scene(e, &s);
                const char *what = describe_case(&s, "block with SO_SNDTIMEO");
                int fd = fake_socket(AF_INET, SOCK_STREAM);
                fake_calls.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
                uint64_t begun = fake_net.now;
                int r = s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
                uint64_t took = fake_net.now - begun;
                cr_assert_eq(r, -EINPROGRESS, "%s: %d", what, r);
                cr_assert(took >= 3 * S5_CLOCK_SECOND && took < 4 * S5_CLOCK_SECOND, "%s: %g s",
                          what, (double)took / (double)S5_CLOCK_SECOND);
                cr_assert_eq(s5_close(e, fd), 0);
                check_clean(e, what);
            }
    end_engine(e);
}

/* --- an unreachable server --- */

Test(torture, an_unreachable_server)
{
    static const struct {
        enum fake_dial dial;
        int error;
    } ends[] = {{FAKE_REFUSE, ECONNREFUSED},
                {FAKE_UNREACHABLE, EHOSTUNREACH},
                {FAKE_NO_ROUTE, ENETUNREACH},
                {FAKE_SILENCE, ETIMEDOUT}};
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT};
    char got[64];
    ssize_t n;
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (enum how how = BLOCK; how <= EPOLL_ONCE; how++)
            for (size_t i = 0; i < 2 * sizeof ends / sizeof *ends; i++) {
                set_scene(e, &s);
                fake_net.manner.eager = i % 2;
                const char *what = describe_case(&s, how_names[how]);
                fake_net.dial = ends[i / 2].dial;
                int error = connect_new(e, how, LONG_WAIT, got, &n);
                cr_assert_eq(error, ends[i / 2].error, "%s: %d, not %d", what, error,
                             ends[i / 2].error);
                check_clean(e, what);
            }
    end_engine(e);
}

/* --- BIND --- */

#define REFUSALS                                                                                   \
    (errno_bit(ECONNREFUSED) | errno_bit(EACCES) | errno_bit(EPROTO) | errno_bit(ECONNABORTED) |   \
     errno_bit(ECONNRESET) | errno_bit(EOPNOTSUPP) | errno_bit(EHOSTUNREACH))

/* True if a connection can be accepted within A_WHILE. */
static bool wait_for_caller(struct s5_engine *e, int fd, int ep, enum how how)
{
    struct timespec limit = milliseconds(A_WHILE);
    struct pollfd p = {fd, POLLIN, 0};
    struct epoll_event got;
    fd_set set;
    switch (how) {
    case BLOCK:
        return true;
    case SELECT:
        FD_ZERO(&set);
        FD_SET(fd, &set);
        return s5_wait_select(e, fd + 1, &set, NULL, NULL, &limit, NULL) == 1;
    case POLL:
        return s5_wait_poll(e, &p, 1, &limit, NULL) == 1;
    default:
        return e->real->epoll_pwait(ep, &got, 1, A_WHILE, NULL) == 1 && got.data.u64 == 7;
    }
}

static int listen_and_accept(struct s5_engine *e, int fd, int ep, enum how how, char got[64], ssize_t *ret_n)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)}, bound, peer;
    struct epoll_event event = {.events = EPOLLIN | (how == EPOLL_BEFORE ? EPOLLET : 0),
                                .data.u64 = 7};
    struct timeval limit = {1, 0};
    socklen_t len = sizeof bound;
    int r = s5_bind(e, fd, (struct sockaddr *)&own, sizeof own);
    if (r == 0)
        r = s5_listen(e, fd, 5);
    if (r < 0)
        return -r;
    cr_assert_eq(s5_getsockname(e, fd, (struct sockaddr *)&bound, &len), 0);
    if (how == BLOCK)
        fake_calls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (ep >= 0)
        cr_assert_eq(s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, fd, &event), 0);
    int to;
    do { /* a part of the second reply is not a connection yet */
        len = sizeof peer;
        if (!wait_for_caller(e, fd, ep, how))
            return LATE;
        to = s5_accept(e, fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
    } while (to == -EAGAIN && how != BLOCK);
    if (to < 0)
        return -to;
    cr_assert_eq(len, sizeof peer);
    *ret_n = said(e, to, got, 64);
    cr_assert_eq(s5_close(e, to), 0);
    return 0;
}

static uint64_t get_expected_of_bind(const struct scene *s, enum how how)
{
    size_t total = whole_size(s), first = total - sizeof second4;
    uint64_t reset = errno_bit(ECONNABORTED) | errno_bit(ECONNRESET);
    uint64_t allowed = s->at < first ? REFUSALS : REFUSALS | errno_bit(LATE) | (how == BLOCK ? errno_bit(EAGAIN) : 0);
    if (s->at == total)
        allowed = errno_bit(0) | (s->way == RESET ? reset : 0);
    if (s->way == GARBAGE)
        allowed |= errno_bit(0) | errno_bit(LATE) | (how == BLOCK ? errno_bit(EAGAIN) : 0);
    if (s->way == STALL && s->at < total)
        allowed = s->at < first ? errno_bit(ETIMEDOUT) : errno_bit(how == BLOCK ? EAGAIN : LATE);
    return allowed;
}

static void check_bind(struct s5_engine *e, struct scene *s, enum how how, const struct fake_manner *m)
{
    char got[64];
    ssize_t n = -1;
    set_scene(e, s);
    fake_net.manner = *m;
    const char *what = describe_case(s, how_names[how]);
    int ep = how >= EPOLL_BEFORE ? fake_epoll() : -1;
    int fd = fake_socket(AF_INET, SOCK_STREAM | (how == BLOCK ? 0 : SOCK_NONBLOCK));
    int error = listen_and_accept(e, fd, ep, how, got, &n);
    cr_assert_eq(s5_close(e, fd), 0);
    if (ep >= 0)
        cr_assert_eq(s5_close(e, ep), 0);
    cr_assert(errno_bit(error) & get_expected_of_bind(s, how), "%s: %s", what,
              error < 0 ? "late" : strerrorname_np(error));
    if (error == 0 && s->at == whole_size(s) && s->way == GOOD)
        cr_assert(n == sizeof HELLO - 1 && memcmp(got, HELLO, (size_t)n) == 0, "%s: %zd octets",
                  what, n);
    for (unsigned i = 0; i < fake_net.n_peers; i++)
        check_words(s, &fake_net.peers[i], s->pipeline == OFF, what);
    check_clean(e, what);
}

static void fail_bind_at_every_octet(enum method method, enum how how)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.method = method, .command = S5_BIND};
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (s.at = 0; s.at <= whole_size(&s); s.at++)
            for (s.way = s.at == whole_size(&s) ? GOOD : CLOSE; s.way < WAYS; s.way++)
                for (size_t m = 0; m < MANNERS; m++)
                    check_bind(e, &s, how, &manners[m]);
    end_engine(e);
}

#define EACH_BIND(method, how, name)                                                               \
    Test(torture, bind_fails_at_every_octet_of_both_replies_##name)                                \
    {                                                                                              \
        fail_bind_at_every_octet(method, how);                                                     \
    }

EACH_BIND(NONE, BLOCK, none_block)
EACH_BIND(NONE, POLL, none_poll)
EACH_BIND(NONE, SELECT, none_select)
EACH_BIND(NONE, EPOLL_BEFORE, none_epoll_edge)
EACH_BIND(NONE, EPOLL_AFTER, none_epoll)
EACH_BIND(PASSWORD, BLOCK, password_block)
EACH_BIND(PASSWORD, POLL, password_poll)
EACH_BIND(PASSWORD, SELECT, password_select)
EACH_BIND(PASSWORD, EPOLL_BEFORE, password_epoll_edge)
EACH_BIND(PASSWORD, EPOLL_AFTER, password_epoll)

/* --- UDP ASSOCIATE --- */

static int send_and_receive(struct s5_engine *e, int fd, char got[64], ssize_t *ret_n)
{
    struct sockaddr_in to = target(53000), from;
    struct timeval limit = {1, 0};
    socklen_t len = sizeof from;
    ssize_t n = s5_sendto(e, fd, "datagram", 8, 0, (struct sockaddr *)&to, sizeof to);
    if (n < 0)
        return (int)-n;
    cr_assert_eq(n, 8);
    fake_calls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    *ret_n = s5_recvfrom(e, fd, got, 64, 0, (struct sockaddr *)&from, &len);
    if (*ret_n >= 0)
        cr_assert(memcmp(&from, &to, sizeof to) == 0);
    return 0;
}

static void check_udp(struct s5_engine *e, struct scene *s, bool nonblock, const struct fake_manner *m)
{
    static const uint8_t header[] = {0, 0, 0, 1, 10, 88, 2, 2, 53000 >> 8, 53000 & 0xff};
    char got[64];
    ssize_t n = -1;
    bool whole = s->at == whole_size(s);
    set_scene(e, s);
    fake_net.manner = *m;
    fake_net.relay = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(0x1234)};
    inet_pton(AF_INET, FAKE_SERVER4, &fake_net.relay.sin_addr);
    const char *what = describe_case(s, "UDP");
    int fd = fake_socket(AF_INET, SOCK_DGRAM | (nonblock ? SOCK_NONBLOCK : 0));
    int error = send_and_receive(e, fd, got, &n);
    cr_assert_eq(s5_close(e, fd), 0);
    uint64_t allowed = whole ? errno_bit(0) : s->way == STALL ? errno_bit(ETIMEDOUT) : REFUSALS;
    if (s->way == GARBAGE && s->at >= head_size(s->method) + 4)
        allowed |= errno_bit(0); /* sent to the address given as that of the relay */
    cr_assert(errno_bit(error) & allowed, "%s: %s", what, strerrorname_np(error));
    if (error)
        cr_assert_eq(fake_net.n_datagrams, 0, "%s: a datagram left", what);
    if (whole && fake_net.n_datagrams) {
        cr_assert(memcmp(&fake_net.datagram.to, &fake_net.relay, sizeof fake_net.relay) == 0);
        cr_assert(fake_net.datagram.n == sizeof header + 8 &&
                  memcmp(fake_net.datagram.octets, header, sizeof header) == 0);
        cr_assert(n == 8 && memcmp(got, "datagram", 8) == 0, "%s: %zd octets", what, n);
    }
    if (s->way == GOOD)
        cr_assert_eq(fake_net.n_datagrams, 1, "%s", what);
    for (unsigned i = 0; i < fake_net.n_peers; i++)
        check_words(s, &fake_net.peers[i], s->pipeline == OFF, what);
    check_clean(e, what);
}

static void fail_udp_at_every_octet(enum method method, bool nonblock)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.method = method, .command = S5_UDP_ASSOCIATE};
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (s.at = 0; s.at <= whole_size(&s); s.at++)
            for (s.way = s.at == whole_size(&s) ? GOOD : CLOSE; s.way < WAYS; s.way++)
                for (size_t m = 0; m < MANNERS; m++)
                    check_udp(e, &s, nonblock, &manners[m]);
    end_engine(e);
}

Test(torture, udp_associate_fails_at_every_octet_none)
{
    fail_udp_at_every_octet(NONE, false);
}

Test(torture, udp_associate_fails_at_every_octet_none_nonblock)
{
    fail_udp_at_every_octet(NONE, true);
}

Test(torture, udp_associate_fails_at_every_octet_password)
{
    fail_udp_at_every_octet(PASSWORD, false);
}

Test(torture, udp_associate_fails_at_every_octet_password_nonblock)
{
    fail_udp_at_every_octet(PASSWORD, true);
}
