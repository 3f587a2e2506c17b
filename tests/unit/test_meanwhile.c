/* What another thread does in the middle of a call: a real call of the engine's is the moment for it. */
#include "cleanup.h"
#include "clock.h"
#include "fake_world.h"
#include "inflight.h"
#include "query.h"
#include "fd_ops.h"
#include "epoll.h"
#include "connect.h"
#include "complete.h"
#include "bind.h"

static struct s5_calls calls; /* those of the network in memory, but for two that may be a moment */
static struct s5_engine *engine;
static void (*at_cookie)(int fd), (*at_error)(int fd), (*after_type)(int fd), (*at_wait)(int fd);
static void (*before_ctl)(int ep, int op, int fd);
static int ep;

/* The other thread has a list of its own of what its calls hold. */
static struct s5_cleanups own_cleanups;

static void begin_other_thread(void)
{
    own_cleanups = s5_cleanups;
    s5_cleanups = (struct s5_cleanups){.n = 0};
}

static void end_other_thread(void)
{
    s5_cleanups = own_cleanups;
}

static void come(void (**moment)(int), int fd)
{
    void (*now)(int) = *moment;
    *moment = NULL;
    if (!now)
        return;
    begin_other_thread();
    now(fd);
    end_other_thread();
}

static int own_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    if (level == SOL_SOCKET && name == SO_COOKIE)
        come(&at_cookie, fd);
    if (level == SOL_SOCKET && name == SO_ERROR)
        come(&at_error, fd);
    int r = fake_calls.getsockopt(fd, level, name, value, len), error = errno;
    if (level == SOL_SOCKET && name == SO_TYPE)
        come(&after_type, fd);
    errno = error;
    return r;
}

static int own_epoll_ctl(int at, int op, int fd, struct epoll_event *event)
{
    if (before_ctl) {
        begin_other_thread();
        before_ctl(at, op, fd);
        end_other_thread();
    }
    return fake_calls.epoll_ctl(at, op, fd, event);
}

static int own_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask)
{
    come(&at_wait, -1);
    return fake_calls.ppoll(fds, n, limit, mask);
}

static void begin(struct scene *s)
{
    engine = fake_engine();
    calls = fake_calls;
    calls.getsockopt = own_getsockopt;
    calls.epoll_ctl = own_epoll_ctl;
    calls.ppoll = own_ppoll;
    engine->real = &calls;
    set_scene(engine, s);
    ep = fake_epoll();
}

static void end(void)
{
    cr_assert_eq(s5_close(engine, ep), 0);
    check_clean(engine, "at the end");
    end_engine(engine);
}

static int dial(void)
{
    struct sockaddr_in to = target(80);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(s5_connect(engine, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    return fd;
}

static void watch(int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &event), 0);
}

/* The other thread waits, for nothing of its own, until nothing is in flight. */
static void others_carry_on(void)
{
    struct timespec slice = milliseconds(20);
    for (int i = 0; i < 50 && s5_registry_any_in_flight(&engine->registry); i++)
        cr_assert_eq(s5_wait_poll(engine, NULL, 0, &slice, NULL), 0);
    cr_assert(!s5_registry_any_in_flight(&engine->registry));
}

/* The events that the instance reports within a while; DATA is theirs. */
static uint32_t reported(uint64_t data)
{
    struct timespec limit = milliseconds(A_WHILE);
    struct epoll_event got = {.events = 0};
    int n = s5_epoll_wait(engine, ep, &got, 1, 0, &limit, NULL);
    cr_assert(n == 0 || (n == 1 && got.data.u64 == data), "%d, data %llu", n, (unsigned long long)got.data.u64);
    return n ? got.events : 0;
}

static int error_of(int fd)
{
    int error = -1;
    socklen_t len = sizeof error;
    cr_assert_eq(s5_getsockopt(engine, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

static void check_connected(int fd)
{
    char got[16];
    cr_assert_eq(error_of(fd), 0);
    cr_assert_eq(said(engine, fd, got, sizeof got), sizeof HELLO - 1);
    cr_assert_eq(memcmp(got, HELLO, sizeof HELLO - 1), 0);
}

static struct scene good(void)
{
    struct scene s = {.command = S5_CONNECT, .method = PASSWORD, .pipeline = ON, .way = GOOD};
    s.at = whole_size(&s);
    return s;
}

static void close_and_dial(int fd)
{
    cr_assert_eq(s5_close(engine, fd), 0);
    cr_assert_eq(dial(), fd);
}

/* A wait has found a descriptor ready and asks whose it is. Its owner closes it, and has the number again for
 * another connection. */
Test(meanwhile, the_next_connection_of_a_number_stays)
{
    struct scene s = good();
    struct timespec slice = milliseconds(20);
    begin(&s);
    int fd = dial();
    at_cookie = close_and_dial;
    cr_assert_eq(s5_wait_poll(engine, NULL, 0, &slice, NULL), 0);
    cr_assert_null(at_cookie, "the moment has come");
    cr_assert(!s5_registry_foreign(&engine->registry, fd), "it is known");
    watch(fd, EPOLLOUT | EPOLLET, 7);
    cr_assert_eq(reported(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

static void only_close(int fd)
{
    cr_assert_eq(s5_close(engine, fd), 0);
}

static void only_dial(int fd)
{
    cr_assert_eq(dial(), fd);
}

/* A turn finds its descriptor closed. Before it forgets it, the owner has the number again, and the same record. */
Test(meanwhile, the_next_connection_of_a_record_stays)
{
    struct scene s = good();
    begin(&s);
    int fd = dial();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    at_cookie = only_close;
    after_type = only_dial;
    s5_complete_step(engine, record, POLLOUT);
    cr_assert(!at_cookie && !after_type);
    cr_assert_eq(s5_registry_find(&engine->registry, fd), record, "it is used again, and known");
    watch(fd, EPOLLOUT | EPOLLET, 7);
    cr_assert_eq(reported(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

static void finish_before_add(int at, int op, int fd)
{
    (void)at, (void)fd;
    if (op != EPOLL_CTL_ADD)
        return;
    before_ctl = NULL;
    others_carry_on();
}

/* A round of waiting for FD, which was in flight when the caller looked and was left out, does not wait. */
static void check_short(struct s5_pollset *set)
{
    bool ended = false;
    uint64_t begun = s5_clock_now();
    cr_assert_eq(s5_inflight_round(engine, set, -1, begun + 60 * S5_CLOCK_SECOND, NULL, &ended), 0);
    cr_assert_leq(s5_clock_now() - begun, S5_CLOCK_SECOND / 10);
    s5_pollset_end(set);
}

/* poll() leaves a descriptor in flight out of its own set. Before the round adds what is in flight another thread
 * ends the negotiation: nobody would wake this one. */
Test(meanwhile, a_wait_looks_again_when_a_negotiation_has_ended)
{
    struct scene s = good();
    struct s5_pollset set;
    begin(&s);
    int fd = dial();
    s5_pollset_begin(&set);
    s5_pollset_look(engine, &set);
    s5_pollset_add(&set, -1, POLLOUT);
    others_carry_on();
    check_short(&set);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

/* The same while that thread is about to end it. */
Test(meanwhile, a_wait_looks_again_when_a_negotiation_is_being_settled)
{
    struct scene s = good();
    struct s5_pollset set;
    begin(&s);
    int fd = dial();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    s5_pollset_begin(&set);
    s5_pollset_look(engine, &set);
    s5_pollset_add(&set, -1, POLLOUT);
    s5_registry_count_completed(&engine->registry);
    struct s5_negotiation *f = atomic_exchange(&record->negotiation, NULL);
    check_short(&set);
    atomic_store(&record->negotiation, f);
    others_carry_on();
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

/* Another thread ends the negotiation after the registration is noted and before the kernel has it. */
Test(meanwhile, a_registration_is_the_programs_when_the_negotiation_ends_before_it)
{
    struct scene s = good();
    begin(&s);
    int fd = dial();
    before_ctl = finish_before_add;
    watch(fd, EPOLLOUT, 7);
    cr_assert_null(before_ctl);
    for (int i = 0; i < 3; i++) /* by level, and nothing that was not asked for */
        cr_assert_eq(reported(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

static int reused;

static void reuse_before_mod(int at, int op, int fd)
{
    (void)at;
    if (op != EPOLL_CTL_MOD)
        return;
    before_ctl = NULL;
    close_and_dial(fd);
    watch(fd, EPOLLOUT | EPOLLET, 8);
    reused++;
}

/* A thread that ended a negotiation is about to give its registration back. The descriptor is closed first, and its
 * number is the next connection's. */
Test(meanwhile, a_registration_is_borrowed_though_another_was_given_back)
{
    struct scene s = good();
    begin(&s);
    int fd = dial();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    watch(fd, EPOLLOUT | EPOLLET, 7);
    before_ctl = reuse_before_mod;
    for (int i = 0; i < 20 && !reused; i++) {
        struct pollfd p = {fd, i ? POLLIN : POLLOUT, 0};
        struct timespec slice = milliseconds(20);
        fake_calls.ppoll(&p, 1, &slice, NULL);
        s5_complete_step(engine, record, p.revents);
    }
    cr_assert_eq(reused, 1);
    cr_assert_eq(reported(8), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(reported(8) & ~(EPOLLOUT | 0u), 0, "nothing that was not asked for");
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

static int blocked;

static void shut_down(int fd)
{
    (void)fd;
    cr_assert_eq(s5_shutdown(engine, blocked, SHUT_WR), 0);
}

static void close_and_block(int fd)
{
    (void)fd;
    cr_assert_eq(s5_close(engine, blocked), 0);
    cr_assert_eq(dial(), blocked);
}

/* A blocking connect(). Another thread shuts the socket down; then it closes it, at the moment at which the error is
 * asked for, and has the number for another connection. */
Test(meanwhile, a_connection_that_another_thread_ends_is_not_made)
{
    struct scene s = {.command = S5_CONNECT, .way = STALL};
    struct sockaddr_in to = target(80);
    for (int closes = 0; closes < 2; closes++) {
        begin(&s);
        blocked = fake_socket(AF_INET, SOCK_STREAM);
        at_wait = shut_down;
        at_error = closes ? close_and_block : NULL;
        cr_assert_eq(s5_connect(engine, blocked, (struct sockaddr *)&to, sizeof to), -ECONNRESET);
        cr_assert(!at_wait && !at_error);
        cr_assert_eq(!s5_registry_foreign(&engine->registry, blocked), closes);
        cr_assert_eq(s5_close(engine, blocked), 0);
        end();
    }
}

/* The error of a connection is fetched once. */
Test(meanwhile, an_error_that_another_thread_fetches_is_no_success)
{
    struct scene s = {.command = S5_CONNECT, .way = STALL};
    begin(&s);
    int fd = dial();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    cr_assert_eq(s5_shutdown(engine, fd, SHUT_WR), 0);
    cr_assert_eq(s5_complete_result(engine, record, fd), 1);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}

/* A registration that is there already: the one that failed leaves it as it was. */
Test(meanwhile, a_second_registration_changes_nothing)
{
    struct scene s = good();
    begin(&s);
    int fd = dial();
    struct epoll_event second = {.events = EPOLLIN, .data.u64 = 9};
    watch(fd, EPOLLOUT, 7);
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &second), -EEXIST);
    cr_assert_eq(reported(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &second), -EEXIST);
    cr_assert_eq(reported(7), EPOLLOUT);
    cr_assert_eq(s5_close(engine, fd), 0);
    end();
}
