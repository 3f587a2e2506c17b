/* accept() returns the connection that it has. The next BIND request is made by later calls that wait, however
 * the server behaves then. */
#include "fake_world.h"
#include "listener.h"
#include "query.h"
#include "pool.h"
#include "fd_ops.h"
#include "epoll.h"
#include "bind.h"
#include "accept.h"
#include "poll_select.h"

enum how { POLL, SELECT, EPOLL, EPOLL_EDGE, BLOCK, HOWS };

/* serves_some() serves the connections before number LAST and is silent on the others. */
static unsigned last;
static struct scene scene;

static void serve_some(struct fake_peer *p)
{
    if (p - fake_net.peers < last)
        scene_script(p);
}

struct place {
    int fd, ep;
    enum how how;
};

static struct place start_listening(struct s5_engine *e, enum how how, enum pipeline pipeline, unsigned serves)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)};
    struct epoll_event event = {.events = EPOLLIN | (how == EPOLL_EDGE ? EPOLLET : 0), .data.u64 = 7};
    scene = (struct scene){.command = S5_BIND, .pipeline = pipeline, .way = GOOD};
    scene.at = whole_size(&scene);
    set_scene(e, &scene);
    last = serves;
    fake_net.script = serve_some;
    struct place at = {fake_socket(AF_INET, SOCK_STREAM | (how == BLOCK ? 0 : SOCK_NONBLOCK)), fake_epoll(),
                       how};
    cr_assert_eq(s5_bind(e, at.fd, (struct sockaddr *)&own, sizeof own), 0);
    cr_assert_eq(s5_listen(e, at.fd, 5), 0);
    cr_assert_eq(s5_epoll_ctl(e, at.ep, EPOLL_CTL_ADD, at.fd, &event), 0);
    return at;
}

static bool wait_for_caller(struct s5_engine *e, const struct place *at, int ms)
{
    struct timespec limit = milliseconds(ms);
    struct pollfd p = {at->fd, POLLIN, 0};
    struct epoll_event got;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(at->fd, &set);
    switch (at->how) {
    case BLOCK:
        return true;
    case POLL:
        return s5_wait_poll(e, &p, 1, &limit, NULL) == 1;
    case SELECT:
        return s5_wait_select(e, at->fd + 1, &set, NULL, NULL, &limit, NULL) == 1;
    default:
        return s5_epoll_wait(e, at->ep, &got, 1, 0, &limit, NULL) == 1 && got.data.u64 == 7;
    }
}

static int accept_caller(struct s5_engine *e, const struct place *at)
{
    int to;
    do {
        cr_assert(wait_for_caller(e, at, 5000));
        to = s5_accept(e, at->fd, NULL, NULL, SOCK_CLOEXEC);
    } while (to == -EAGAIN && at->how != BLOCK);
    cr_assert_geq(to, 0, "%d", to);
    return to;
}

static int accept_and_read(struct s5_engine *e, const struct place *at)
{
    char got[64];
    int to = accept_caller(e, at);
    cr_assert(said(e, to, got, sizeof got) == sizeof HELLO - 1 && memcmp(got, HELLO, sizeof HELLO - 1) == 0);
    return to;
}

static void stop_listening(struct s5_engine *e, const struct place *at)
{
    cr_assert_eq(s5_close(e, at->fd), 0);
    cr_assert_eq(s5_close(e, at->ep), 0);
    check_clean(e, "BIND");
}

Test(rebind, a_silent_server_delays_nothing)
{
    struct s5_engine *e = fake_engine();
    for (enum how how = 0; how < HOWS; how++)
        for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++) {
            struct place at = start_listening(e, how, pipeline, 1);
            uint64_t begun = fake_net.now;
            int to = accept_and_read(e, &at);
            cr_assert_lt(fake_net.now - begun, S5_CLOCK_SECOND);
            /* No connection arrives, and the wait ends on time. */
            struct timespec limit = milliseconds(A_WHILE);
            struct pollfd p = {at.fd, POLLIN, 0};
            begun = fake_net.now;
            cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
            cr_assert_lt(fake_net.now - begun, 2 * A_WHILE * 1000000ull);
            cr_assert_gt(fake_net.dialled, 1);
            cr_assert_eq(s5_close(e, to), 0);
            stop_listening(e, &at);
        }
    end_engine(e);
}

Test(rebind, one_connection_after_another)
{
    struct s5_engine *e = fake_engine();
    for (enum how how = 0; how < HOWS; how++)
        for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++)
            for (int asked = 0; asked < 2; asked++) {
                struct place at = start_listening(e, how, pipeline, 60);
                for (int i = 0; i < 5; i++) {
                    struct sockaddr_in own;
                    socklen_t len = sizeof own;
                    cr_assert_eq(s5_close(e, accept_and_read(e, &at)), 0);
                    if (!asked)
                        continue;
                    /* The next address is available without a wait before. */
                    cr_assert_eq(s5_getsockname(e, at.fd, (struct sockaddr *)&own, &len), 0);
                    cr_assert(!s5_registry_any_in_flight(&e->registry));
                    cr_assert_eq(fake_net.n_peers, (unsigned)i + 2);
                }
                stop_listening(e, &at);
            }
    end_engine(e);
}

/* A server that refuses is tried again after a while, as after any BIND request. */
Test(rebind, a_server_that_fails_is_tried_again)
{
    struct s5_engine *e = fake_engine();
    struct place at = start_listening(e, POLL, OFF, 60);
    fake_net.dial = FAKE_REFUSE;
    cr_assert_eq(s5_close(e, accept_and_read(e, &at)), 0);
    struct timespec limit = milliseconds(A_WHILE);
    struct pollfd p = {at.fd, POLLIN, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
    fake_net.dial = FAKE_ACCEPT;
    cr_assert_eq(s5_close(e, accept_and_read(e, &at)), 0);
    stop_listening(e, &at);
    end_engine(e);
}

/* A rule with two servers and "timeout": both are silent. */
Test(rebind, the_time_of_the_rule_limits_it)
{
    enum { LIMIT = 3 };
    struct s5_engine *e = fake_engine();
    struct s5_policy *policy = (struct s5_policy *)(uintptr_t)e->policy;
    cr_assert_eq(s5_policy_add_server(policy, "other"), 1);
    policy->servers[1] = policy->servers[0];
    e->server_keys[1] = e->server_keys[0] + 1;
    cr_assert_eq(s5_policy_add_via(policy, 0, 1), 1);
    policy->rules[0].timeout = LIMIT;
    struct place at = start_listening(e, POLL, OFF, 1);
    int to = accept_and_read(e, &at);
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    uint64_t begun = fake_net.now;
    s5_getsockname(e, at.fd, (struct sockaddr *)&own, &len); /* waits for the next request, and makes another */
    cr_assert_gt(fake_net.now - begun, (LIMIT - 1) * S5_CLOCK_SECOND);
    cr_assert_lt(fake_net.now - begun, (2 * LIMIT + 1) * S5_CLOCK_SECOND, "not the timeout of a server");
    cr_assert_eq(s5_close(e, to), 0);
    stop_listening(e, &at);
    end_engine(e);
}

/* The next BIND request completes while the listener is locked for a long time, by a frame below in this thread
 * or by another thread. That connection is given up, nothing hangs, and the listener makes another request later. */
Test(rebind, a_request_that_completes_while_the_listener_is_locked_is_given_up)
{
    struct s5_engine *e = fake_engine();
    for (int other = 0; other < 2; other++) {
        struct place at = start_listening(e, POLL, OFF, 60);
        struct timespec limit = milliseconds(A_WHILE);
        struct pollfd p = {at.fd, POLLIN, 0};
        int to = accept_caller(e, &at);
        struct s5_listener *l = s5_listener_shared(s5_registry_find(&e->registry, at.fd));
        cr_assert(l && s5_registry_any_in_flight(&e->registry));
        uint64_t token = s5_lock_token(e);
        atomic_store(&l->lock, other ? token ^ 1 : token);
        uint64_t begun = fake_net.now;
        for (int round = 0; round < 5; round++)
            cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
        cr_assert_lt(fake_net.now - begun, 3 * S5_CLOCK_SECOND);
        cr_assert(!s5_registry_any_in_flight(&e->registry), "it is over");
        atomic_store(&l->lock, 0);
        cr_assert_eq(s5_close(e, to), 0);
        cr_assert(wait_for_caller(e, &at, LONG_WAIT), "when the time-out of the server is over at the latest");
        cr_assert_eq(s5_close(e, accept_and_read(e, &at)), 0);
        stop_listening(e, &at);
    }
    end_engine(e);
}

/* The program closes all of its descriptors and more. The connection of the BIND request is internal and must
 * remain. */
Test(rebind, the_program_cannot_close_its_connection)
{
    struct s5_engine *e = fake_engine();
    struct place at = start_listening(e, POLL, OFF, 60);
    int to = accept_caller(e, &at);
    cr_assert(s5_registry_any_in_flight(&e->registry));
    for (int fd = FAKE_FIRST; fd < 1024; fd++)
        if (fd != at.fd && fd != at.ep && fd != to)
            s5_close(e, fd);
    cr_assert_eq(s5_close(e, to), 0);
    cr_assert_eq(s5_close(e, accept_and_read(e, &at)), 0);
    stop_listening(e, &at);
    end_engine(e);
}
