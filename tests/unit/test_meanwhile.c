/* Actions of another thread in the middle of a call. They happen at one of the engine's real calls. */
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

static struct s5_calls calls; /* the fake network's calls; two of them can trigger an action */
static struct s5_engine *engine;
static void (*at_cookie)(int fd), (*at_error)(int fd), (*after_type)(int fd), (*at_wait)(int fd);
static void (*before_ctl)(int ep, int op, int fd);
static int ep;

/* The other thread has its own list of what its calls hold. */
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

static void run_action(void (**action)(int), int fd)
{
    void (*run)(int) = *action;
    *action = NULL;
    if (!run)
        return;
    begin_other_thread();
    run(fd);
    end_other_thread();
}

static int own_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    if (level == SOL_SOCKET && name == SO_COOKIE)
        run_action(&at_cookie, fd);
    if (level == SOL_SOCKET && name == SO_ERROR)
        run_action(&at_error, fd);
    int r = fake_calls.getsockopt(fd, level, name, value, len), error = errno;
    if (level == SOL_SOCKET && name == SO_TYPE)
        run_action(&after_type, fd);
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
    run_action(&at_wait, -1);
    return fake_calls.ppoll(fds, n, limit, mask);
}

static void set_up(struct scene *s)
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

static void tear_down(void)
{
    cr_assert_eq(s5_close(engine, ep), 0);
    check_clean(engine, "at the end");
    end_engine(engine);
}

static int begin_connect(void)
{
    struct sockaddr_in to = target(80);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(s5_connect(engine, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    return fd;
}

static void register_fd(int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &event), 0);
}

/* The other thread waits for nothing in particular until nothing is in flight. */
static void complete_elsewhere(void)
{
    struct timespec slice = milliseconds(20);
    for (int i = 0; i < 50 && s5_registry_any_in_flight(&engine->registry); i++)
        cr_assert_eq(s5_wait_poll(engine, NULL, 0, &slice, NULL), 0);
    cr_assert(!s5_registry_any_in_flight(&engine->registry));
}

/* Returns the events that the instance reports within A_WHILE. Their data must be DATA. */
static uint32_t get_events(uint64_t data)
{
    struct timespec limit = milliseconds(A_WHILE);
    struct epoll_event got = {.events = 0};
    int n = s5_epoll_wait(engine, ep, &got, 1, 0, &limit, NULL);
    cr_assert(n == 0 || (n == 1 && got.data.u64 == data), "%d, data %llu", n, (unsigned long long)got.data.u64);
    return n ? got.events : 0;
}

static int get_error(int fd)
{
    int error = -1;
    socklen_t len = sizeof error;
    cr_assert_eq(s5_getsockopt(engine, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

static void check_connected(int fd)
{
    char got[16];
    cr_assert_eq(get_error(fd), 0);
    cr_assert_eq(said(engine, fd, got, sizeof got), sizeof HELLO - 1);
    cr_assert_eq(memcmp(got, HELLO, sizeof HELLO - 1), 0);
}

static struct scene good_scene(void)
{
    struct scene s = {.command = S5_CONNECT, .method = PASSWORD, .pipeline = ON, .way = GOOD};
    s.at = whole_size(&s);
    return s;
}

static void close_and_connect(int fd)
{
    cr_assert_eq(s5_close(engine, fd), 0);
    cr_assert_eq(begin_connect(), fd);
}

/* A wait has found a descriptor ready and checks which socket it is. The owner closes it and gets the same number
 * for another connection. */
Test(meanwhile, the_next_connection_of_a_number_is_kept)
{
    struct scene s = good_scene();
    struct timespec slice = milliseconds(20);
    set_up(&s);
    int fd = begin_connect();
    at_cookie = close_and_connect;
    cr_assert_eq(s5_wait_poll(engine, NULL, 0, &slice, NULL), 0);
    cr_assert_null(at_cookie, "the moment has come");
    cr_assert(!s5_registry_foreign(&engine->registry, fd), "it is known");
    register_fd(fd, EPOLLOUT | EPOLLET, 7);
    cr_assert_eq(get_events(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

static void close_fd(int fd)
{
    cr_assert_eq(s5_close(engine, fd), 0);
}

static void connect_again(int fd)
{
    cr_assert_eq(begin_connect(), fd);
}

/* A step finds its descriptor closed. Before it removes the record, the owner gets the same number and the same
 * record again. */
Test(meanwhile, the_next_connection_of_a_record_is_kept)
{
    struct scene s = good_scene();
    set_up(&s);
    int fd = begin_connect();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    at_cookie = close_fd;
    after_type = connect_again;
    s5_complete_step(engine, record, POLLOUT);
    cr_assert(!at_cookie && !after_type);
    cr_assert_eq(s5_registry_find(&engine->registry, fd), record, "it is used again, and known");
    register_fd(fd, EPOLLOUT | EPOLLET, 7);
    cr_assert_eq(get_events(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

static void finish_before_add(int at, int op, int fd)
{
    (void)at, (void)fd;
    if (op != EPOLL_CTL_ADD)
        return;
    before_ctl = NULL;
    complete_elsewhere();
}

/* A round of waiting for FD, which was in flight when the set was made and was left out of it, must not block. */
static void check_short(struct s5_pollset *set)
{
    bool ended = false;
    uint64_t begun = s5_clock_now();
    cr_assert_eq(s5_inflight_round(engine, set, -1, begun + 60 * S5_CLOCK_SECOND, NULL, &ended), 0);
    cr_assert_leq(s5_clock_now() - begun, S5_CLOCK_SECOND / 10);
    s5_pollset_end(set);
}

/* poll() leaves a descriptor in flight out of its own set. Before the round adds what is in flight, another
 * thread completes the negotiation, so that nothing would wake this wait. */
Test(meanwhile, a_wait_checks_again_after_a_negotiation_has_ended)
{
    struct scene s = good_scene();
    struct s5_pollset set;
    set_up(&s);
    int fd = begin_connect();
    s5_pollset_begin(&set);
    s5_pollset_look(engine, &set);
    s5_pollset_add(&set, -1, POLLOUT);
    complete_elsewhere();
    check_short(&set);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

/* The same while the other thread is about to complete it. */
Test(meanwhile, a_wait_checks_again_while_a_negotiation_is_completed)
{
    struct scene s = good_scene();
    struct s5_pollset set;
    set_up(&s);
    int fd = begin_connect();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    s5_pollset_begin(&set);
    s5_pollset_look(engine, &set);
    s5_pollset_add(&set, -1, POLLOUT);
    s5_registry_count_completed(&engine->registry);
    struct s5_negotiation *f = atomic_exchange(&record->negotiation, NULL);
    check_short(&set);
    atomic_store(&record->negotiation, f);
    complete_elsewhere();
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

/* Another thread completes the negotiation after the registration is recorded and before the kernel has it. */
Test(meanwhile, a_registration_is_restored_if_the_negotiation_ends_first)
{
    struct scene s = good_scene();
    set_up(&s);
    int fd = begin_connect();
    before_ctl = finish_before_add;
    register_fd(fd, EPOLLOUT, 7);
    cr_assert_null(before_ctl);
    for (int i = 0; i < 3; i++) /* level-triggered, and no other events */
        cr_assert_eq(get_events(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

static int reused;

static void reuse_before_mod(int at, int op, int fd)
{
    (void)at;
    if (op != EPOLL_CTL_MOD)
        return;
    before_ctl = NULL;
    close_and_connect(fd);
    register_fd(fd, EPOLLOUT | EPOLLET, 8);
    reused++;
}

/* A thread that completed a negotiation is about to restore its registration. Before that the descriptor is
 * closed, and its number is used by the next connection. */
Test(meanwhile, a_registration_is_overridden_while_another_is_restored)
{
    struct scene s = good_scene();
    set_up(&s);
    int fd = begin_connect();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    register_fd(fd, EPOLLOUT | EPOLLET, 7);
    before_ctl = reuse_before_mod;
    for (int i = 0; i < 20 && !reused; i++) {
        struct pollfd p = {fd, i ? POLLIN : POLLOUT, 0};
        struct timespec slice = milliseconds(20);
        fake_calls.ppoll(&p, 1, &slice, NULL);
        s5_complete_step(engine, record, p.revents);
    }
    cr_assert_eq(reused, 1);
    cr_assert_eq(get_events(8), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(get_events(8) & ~(EPOLLOUT | 0u), 0, "nothing that was not required");
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

static int blocked;

static void shut_down(int fd)
{
    (void)fd;
    cr_assert_eq(s5_shutdown(engine, blocked, SHUT_WR), 0);
}

static void close_and_connect_again(int fd)
{
    (void)fd;
    cr_assert_eq(s5_close(engine, blocked), 0);
    cr_assert_eq(begin_connect(), blocked);
}

/* A blocking connect(). Another thread shuts the socket down. In the second round it also closes it when the
 * error is read, and gets the number for another connection. */
Test(meanwhile, a_connection_that_another_thread_ends_fails)
{
    struct scene s = {.command = S5_CONNECT, .way = STALL};
    struct sockaddr_in to = target(80);
    for (int closes = 0; closes < 2; closes++) {
        set_up(&s);
        blocked = fake_socket(AF_INET, SOCK_STREAM);
        at_wait = shut_down;
        at_error = closes ? close_and_connect_again : NULL;
        cr_assert_eq(s5_connect(engine, blocked, (struct sockaddr *)&to, sizeof to), -ECONNRESET);
        cr_assert(!at_wait && !at_error);
        cr_assert_eq(!s5_registry_foreign(&engine->registry, blocked), closes);
        cr_assert_eq(s5_close(engine, blocked), 0);
        tear_down();
    }
}

/* The error of a connection is returned only once. */
Test(meanwhile, an_error_that_another_thread_fetches_is_no_success)
{
    struct scene s = {.command = S5_CONNECT, .way = STALL};
    set_up(&s);
    int fd = begin_connect();
    struct s5_record *record = s5_registry_find(&engine->registry, fd);
    cr_assert_eq(s5_shutdown(engine, fd, SHUT_WR), 0);
    cr_assert_eq(s5_complete_result(engine, record, fd), 1);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}

/* A second registration fails and leaves the first one unchanged. */
Test(meanwhile, a_second_registration_changes_nothing)
{
    struct scene s = good_scene();
    set_up(&s);
    int fd = begin_connect();
    struct epoll_event second = {.events = EPOLLIN, .data.u64 = 9};
    register_fd(fd, EPOLLOUT, 7);
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &second), -EEXIST);
    cr_assert_eq(get_events(7), EPOLLOUT);
    check_connected(fd);
    cr_assert_eq(s5_epoll_ctl(engine, ep, EPOLL_CTL_ADD, fd, &second), -EEXIST);
    cr_assert_eq(get_events(7), EPOLLOUT);
    cr_assert_eq(s5_close(engine, fd), 0);
    tear_down();
}
