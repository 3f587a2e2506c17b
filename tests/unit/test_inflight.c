/* Negotiations in flight make progress in every call that waits, whatever it waits for. Each wait ends as it
 * would without them: with its event or when its time-out expires. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "epoll.h"
#include "connect.h"
#include "accept.h"
#include "poll_select.h"
#include <stdio.h>

enum elsewhere {
    POLL_OTHER,   /* of a timer that does not expire */
    POLL_NOTHING, /* as used for sleeping */
    SELECT_OTHER,
    SELECT_NOTHING,
    EPOLL_OTHER, /* in an instance that the connection is not registered with */
    EPOLL_AFTER, /* while the connection is registered with another instance */
    EPOLL_OUTER, /* while it is registered with an instance nested in this one */
    RECEIVE,     /* a datagram that does not arrive */
    READ,
    ACCEPT,       /* from a listener without a server */
    WAYS_TO_WAIT
};

static const char *const wait_names[] = {"poll of another",  "poll of nothing", "select of another",
                                         "select of nothing", "epoll of another", "epoll beside another",
                                         "epoll of an epoll", "recv",            "read",
                                         "accept"};

enum { SLICE = 100, ROUNDS = 40 }; /* ms, and how often */

/* The descriptors that a wait uses. */
struct place {
    int timer, ep, inner, datagram, listener;
};

static struct place make_place(struct s5_engine *e, int c, enum elsewhere way)
{
    struct timeval limit = {0, SLICE * 1000};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1}, out = {.events = EPOLLOUT, .data.u64 = 2};
    struct place at = {fake_calls.timerfd_create(CLOCK_MONOTONIC, 0), fake_epoll(), fake_epoll(),
                       fake_socket(AF_INET, SOCK_DGRAM), fake_socket(AF_INET, SOCK_STREAM)};
    fake_calls.setsockopt(at.datagram, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fake_calls.setsockopt(at.listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fake_calls.listen(at.listener, 5);
    cr_assert_eq(s5_epoll_ctl(e, at.ep, EPOLL_CTL_ADD, at.timer, &event), 0);
    if (way == EPOLL_AFTER || way == EPOLL_OUTER)
        cr_assert_eq(s5_epoll_ctl(e, at.inner, EPOLL_CTL_ADD, c, &out), 0);
    event.data.u64 = 3;
    if (way == EPOLL_OUTER)
        cr_assert_eq(s5_epoll_ctl(e, at.ep, EPOLL_CTL_ADD, at.inner, &event), 0);
    return at;
}

static void close_place(struct s5_engine *e, const struct place *at)
{
    int fds[] = {at->timer, at->ep, at->inner, at->datagram, at->listener};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        cr_assert_eq(s5_close(e, fds[i]), 0);
}

/* Waits for something that does not happen. Returns the result of the call. */
static long wait_elsewhere(struct s5_engine *e, enum elsewhere way, const struct place *at)
{
    struct timespec limit = milliseconds(SLICE);
    struct pollfd p = {at->timer, POLLIN, 0};
    struct epoll_event got;
    char octets[8];
    fd_set set;
    FD_ZERO(&set);
    FD_SET(at->timer, &set);
    switch (way) {
    case POLL_OTHER:
        return s5_wait_poll(e, &p, 1, &limit, NULL);
    case POLL_NOTHING:
        return s5_wait_poll(e, NULL, 0, &limit, NULL);
    case SELECT_OTHER:
        return s5_wait_select(e, at->timer + 1, &set, NULL, NULL, &limit, NULL);
    case SELECT_NOTHING:
        return s5_wait_select(e, 0, NULL, NULL, NULL, &limit, NULL);
    case RECEIVE:
        return s5_recvfrom(e, at->datagram, octets, sizeof octets, 0, NULL, NULL) + EAGAIN;
    case READ:
        return s5_read(e, at->datagram, octets, sizeof octets) + EAGAIN;
    case ACCEPT:
        return s5_accept(e, at->listener, NULL, NULL, 0) + EAGAIN;
    default:
        return s5_epoll_wait(e, at->ep, &got, 1, 0, &limit, NULL);
    }
}

/* Does not use a call that would make progress itself. */
static bool is_over(struct s5_engine *e, int c)
{
    struct s5_record *record = s5_registry_find(&e->registry, c);
    return !record || atomic_load(&record->state) != S5_RECORD_IN_FLIGHT;
}

static void check_way(struct s5_engine *e, struct scene *s, enum elsewhere way)
{
    struct sockaddr_in to = target(80);
    char got[64], what[128];
    int rounds = 0, error = -1, c;
    socklen_t len = sizeof error;
    set_scene(e, s);
    snprintf(what, sizeof what, "%s, method %s, pipeline %s, octet %zu, %s", wait_names[way],
             method_names[s->method], pipeline_names[s->pipeline], s->at, way_names[s->way]);
    c = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(s5_connect(e, c, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    struct place at = make_place(e, c, way);
    for (; !is_over(e, c) && rounds < ROUNDS; rounds++) {
        uint64_t begun = fake_net.now;
        long r = wait_elsewhere(e, way, &at);
        uint64_t took = fake_net.now - begun;
        if (way == EPOLL_OUTER && r == 1) { /* the nested instance has an event */
            struct epoll_event event;
            struct timespec now = {0, 0};
            cr_assert_leq(s5_epoll_wait(e, at.inner, &event, 1, 0, &now, NULL), 1);
            continue;
        }
        cr_assert_eq(r, 0, "%s: %ld", what, r);
        cr_assert(took >= SLICE * 1000000ull && took < 2 * SLICE * 1000000ull, "%s: %g s", what,
                  (double)took / (double)S5_CLOCK_SECOND);
    }
    cr_assert(is_over(e, c), "%s: no progress", what);
    cr_assert_eq(s5_getsockopt(e, c, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    if (s->at == whole_size(s)) {
        cr_assert_eq(error, 0, "%s: %d", what, error);
        cr_assert(said(e, c, got, sizeof got) == sizeof HELLO - 1 && memcmp(got, HELLO, sizeof HELLO - 1) == 0);
    } else
        cr_assert(error == ECONNREFUSED || error == EACCES || error == EPROTO, "%s: %d", what, error);
    cr_assert_eq(s5_close(e, c), 0);
    close_place(e, &at);
    check_clean(e, what);
}

Test(inflight, every_wait_makes_progress_with_negotiations)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT};
    for (enum elsewhere way = 0; way < WAYS_TO_WAIT; way++)
        for (s.method = 0; s.method < METHODS; s.method++)
            for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
                for (s.at = 0; s.at <= whole_size(&s); s.at++) {
                    s.way = s.at == whole_size(&s) ? GOOD : CLOSE;
                    check_way(e, &s, way);
                }
    end_engine(e);
}

/* A ready descriptor is reported at once, and nothing else. */
Test(inflight, a_wait_reports_what_it_waits_for)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .way = STALL, .at = 0};
    struct itimerspec in_a_second = {.it_value = {1, 0}};
    struct timespec limit = milliseconds(LONG_WAIT);
    struct sockaddr_in to = target(80);
    for (int way = 0; way < 3; way++) {
        set_scene(e, &s);
        int c = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), ep = fake_epoll();
        int timer = fake_calls.timerfd_create(CLOCK_MONOTONIC, 0);
        struct pollfd p[3] = {{c, POLLIN | POLLOUT, 0}, {timer, POLLIN, 0}, {-1, POLLIN, 0}};
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = 9}, got = {.events = 0};
        fd_set in, out;
        fake_calls.timerfd_settime(timer, 0, &in_a_second, NULL);
        cr_assert_eq(s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, timer, &event), 0);
        cr_assert_eq(s5_connect(e, c, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
        FD_ZERO(&in);
        FD_SET(timer, &in);
        FD_SET(c, &in);
        out = in;
        uint64_t begun = fake_net.now;
        if (way == 0) {
            cr_assert_eq(s5_wait_poll(e, p, 3, &limit, NULL), 1);
            cr_assert(p[0].revents == 0 && p[1].revents == POLLIN && p[2].revents == 0);
        } else if (way == 1) {
            FD_CLR(timer, &out);
            cr_assert_eq(s5_wait_select(e, timer + 1, &in, &out, NULL, &limit, NULL), 1);
            cr_assert(FD_ISSET(timer, &in) && !FD_ISSET(c, &in) && !FD_ISSET(c, &out));
        } else
            cr_assert(s5_epoll_wait(e, ep, &got, 1, 0, &limit, NULL) == 1 && got.data.u64 == 9);
        uint64_t took = fake_net.now - begun;
        cr_assert(took >= S5_CLOCK_SECOND && took < S5_CLOCK_SECOND + S5_CLOCK_SECOND / 10);
        s5_close(e, c);
        s5_close(e, ep);
        s5_close(e, timer);
        check_clean(e, "a timer");
    }
    end_engine(e);
}

/* The first datagram of a socket waits for its association, which is never made. */
Test(inflight, a_first_datagram_makes_progress_with_negotiations)
{
    struct s5_engine *e = fake_engine();
    struct scene good = {.command = S5_CONNECT, .way = GOOD}, silent = {.command = S5_UDP_ASSOCIATE, .way = STALL};
    struct sockaddr_in to = target(80);
    good.at = whole_size(&good);
    set_scene(e, &good);
    int c = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), d = fake_socket(AF_INET, SOCK_DGRAM);
    struct pollfd reached = {c, POLLOUT, 0};
    struct timespec a_while = milliseconds(A_WHILE);
    cr_assert_eq(s5_connect(e, c, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    cr_assert_eq(fake_calls.ppoll(&reached, 1, &a_while, NULL), 1);
    fake_net.user = &silent;
    cr_assert_eq(s5_sendto(e, d, "x", 1, 0, (struct sockaddr *)&to, sizeof to), -ETIMEDOUT);
    cr_assert(is_over(e, c));
    cr_assert_eq(atomic_load(&s5_registry_find(&e->registry, c)->state), S5_RECORD_READY);
    cr_assert_eq(s5_close(e, d), 0);
    cr_assert_eq(s5_close(e, c), 0);
    check_clean(e, "a first datagram");
    end_engine(e);
}

/* A blocking connect() makes progress with other negotiations, which end while it waits. */
Test(inflight, a_blocking_connect_makes_progress_with_others)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .way = GOOD};
    struct sockaddr_in to = target(80);
    enum { MANY = 5 };
    s.at = whole_size(&s);
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++) {
        int fds[MANY];
        set_scene(e, &s);
        for (int i = 0; i < MANY; i++) {
            fds[i] = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
            cr_assert_eq(s5_connect(e, fds[i], (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
        }
        int c = fake_socket(AF_INET, SOCK_STREAM);
        cr_assert_eq(s5_connect(e, c, (struct sockaddr *)&to, sizeof to), 0);
        for (int i = 0; i < MANY; i++) {
            cr_assert(is_over(e, fds[i]), "number %d", i);
            s5_close(e, fds[i]);
        }
        s5_close(e, c);
        check_clean(e, "others");
    }
    end_engine(e);
}

/* More negotiations than the small set holds, at every position of the program's set. */
Test(inflight, many_in_flight)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .way = GOOD};
    struct sockaddr_in to = target(80);
    struct timespec limit = milliseconds(SLICE);
    enum { MANY = 60, SET = 300 };
    struct pollfd p[SET];
    int fds[MANY], timer;
    s.at = whole_size(&s);
    set_scene(e, &s);
    timer = fake_calls.timerfd_create(CLOCK_MONOTONIC, 0);
    for (int i = 0; i < SET; i++)
        p[i] = (struct pollfd){i % 3 ? timer : -1, POLLIN, 0};
    for (int i = 0; i < MANY; i++) {
        fds[i] = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        cr_assert_eq(s5_connect(e, fds[i], (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
        if (i % 2)
            p[5 * i] = (struct pollfd){fds[i], POLLOUT, 0};
    }
    for (int rounds = 0; s5_registry_any_in_flight(&e->registry); rounds++) {
        cr_assert_lt(rounds, ROUNDS);
        cr_assert_geq(s5_wait_poll(e, p, SET, &limit, NULL), 0);
    }
    cr_assert_eq(s5_wait_poll(e, p, SET, &limit, NULL), MANY / 2);
    for (int i = 0; i < MANY; i++)
        s5_close(e, fds[i]);
    s5_close(e, timer);
    check_clean(e, "a crowd");
    end_engine(e);
}
