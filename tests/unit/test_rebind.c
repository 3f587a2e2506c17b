/* accept() returns the connection that it has. The next BIND is made by the calls that wait, however the
 * server behaves then. */
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

/* Serves the first, and then those that come before LAST; says nothing to the others. */
static unsigned last;
static struct scene scene;

static void serves_some(struct fake_peer *p)
{
    if (p - fake_net.peers < last)
        scene_script(p);
}

struct place {
    int fd, ep;
    enum how how;
};

static struct place listens(struct s5_engine *e, enum how how, enum pipeline pipeline, unsigned serves)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)};
    struct epoll_event event = {.events = EPOLLIN | (how == EPOLL_EDGE ? EPOLLET : 0), .data.u64 = 7};
    scene = (struct scene){.command = S5_BIND, .pipeline = pipeline, .way = GOOD};
    scene.at = whole_size(&scene);
    set_scene(e, &scene);
    last = serves;
    fake_net.script = serves_some;
    struct place at = {fake_socket(AF_INET, SOCK_STREAM | (how == BLOCK ? 0 : SOCK_NONBLOCK)), fake_epoll(),
                       how};
    cr_assert_eq(s5_bind(e, at.fd, (struct sockaddr *)&own, sizeof own), 0);
    cr_assert_eq(s5_listen(e, at.fd, 5), 0);
    cr_assert_eq(s5_epoll_ctl(e, at.ep, EPOLL_CTL_ADD, at.fd, &event), 0);
    return at;
}

static bool somebody_comes(struct s5_engine *e, const struct place *at, int ms)
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

static int takes(struct s5_engine *e, const struct place *at)
{
    int to;
    do {
        cr_assert(somebody_comes(e, at, 5000));
        to = s5_accept(e, at->fd, NULL, NULL, SOCK_CLOEXEC);
    } while (to == -EAGAIN && at->how != BLOCK);
    cr_assert_geq(to, 0, "%d", to);
    return to;
}

static int accepts(struct s5_engine *e, const struct place *at)
{
    char got[64];
    int to = takes(e, at);
    cr_assert(said(e, to, got, sizeof got) == sizeof HELLO - 1 && memcmp(got, HELLO, sizeof HELLO - 1) == 0);
    return to;
}

static void leaves(struct s5_engine *e, const struct place *at)
{
    cr_assert_eq(s5_close(e, at->fd), 0);
    cr_assert_eq(s5_close(e, at->ep), 0);
    check_clean(e, "BIND");
}

Test(rebind, a_server_that_does_not_answer_the_next_one_delays_nothing)
{
    struct s5_engine *e = fake_engine();
    for (enum how how = 0; how < HOWS; how++)
        for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++) {
            struct place at = listens(e, how, pipeline, 1);
            uint64_t begun = fake_net.now;
            int to = accepts(e, &at);
            cr_assert_lt(fake_net.now - begun, S5_CLOCK_SECOND);
            /* Nobody comes; and the time is the program's. */
            struct timespec limit = milliseconds(A_WHILE);
            struct pollfd p = {at.fd, POLLIN, 0};
            begun = fake_net.now;
            cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
            cr_assert_lt(fake_net.now - begun, 2 * A_WHILE * 1000000ull);
            cr_assert_gt(fake_net.dialled, 1);
            cr_assert_eq(s5_close(e, to), 0);
            leaves(e, &at);
        }
    end_engine(e);
}

Test(rebind, one_connection_after_another)
{
    struct s5_engine *e = fake_engine();
    for (enum how how = 0; how < HOWS; how++)
        for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++)
            for (int asked = 0; asked < 2; asked++) {
                struct place at = listens(e, how, pipeline, 60);
                for (int i = 0; i < 5; i++) {
                    struct sockaddr_in own;
                    socklen_t len = sizeof own;
                    cr_assert_eq(s5_close(e, accepts(e, &at)), 0);
                    if (!asked)
                        continue;
                    /* The next address, as it is when nobody waits before. */
                    cr_assert_eq(s5_getsockname(e, at.fd, (struct sockaddr *)&own, &len), 0);
                    cr_assert(!s5_registry_any_in_flight(&e->registry));
                    cr_assert_eq(fake_net.n_peers, (unsigned)i + 2);
                }
                leaves(e, &at);
            }
    end_engine(e);
}

/* A server that refuses is asked again after a while, as after any BIND. */
Test(rebind, a_server_that_fails_is_asked_again)
{
    struct s5_engine *e = fake_engine();
    struct place at = listens(e, POLL, OFF, 60);
    fake_net.dial = FAKE_REFUSE;
    cr_assert_eq(s5_close(e, accepts(e, &at)), 0);
    struct timespec limit = milliseconds(A_WHILE);
    struct pollfd p = {at.fd, POLLIN, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
    fake_net.dial = FAKE_ACCEPT;
    cr_assert_eq(s5_close(e, accepts(e, &at)), 0);
    leaves(e, &at);
    end_engine(e);
}

/* The next BIND is over while somebody is at the listener for long: a frame below in this thread, or another thread.
 * That connection is given up, nothing hangs, and the listener is called again later. */
Test(rebind, one_that_ends_while_the_listener_is_held_is_given_up)
{
    struct s5_engine *e = fake_engine();
    for (int other = 0; other < 2; other++) {
        struct place at = listens(e, POLL, OFF, 60);
        struct timespec limit = milliseconds(A_WHILE);
        struct pollfd p = {at.fd, POLLIN, 0};
        int to = takes(e, &at);
        struct s5_listener *l = s5_listener_shared(s5_registry_find(&e->registry, at.fd));
        cr_assert(l && s5_registry_any_in_flight(&e->registry));
        uint64_t token = s5_lock_token(e);
        atomic_store(&l->lock, other ? token ^ 1 : token);
        uint64_t begun = fake_net.now;
        for (int turn = 0; turn < 5; turn++)
            cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 0);
        cr_assert_lt(fake_net.now - begun, 3 * S5_CLOCK_SECOND);
        cr_assert(!s5_registry_any_in_flight(&e->registry), "it is over");
        atomic_store(&l->lock, 0);
        cr_assert_eq(s5_close(e, to), 0);
        cr_assert(somebody_comes(e, &at, PATIENCE), "when the time-out of the server is over at the latest");
        cr_assert_eq(s5_close(e, accepts(e, &at)), 0);
        leaves(e, &at);
    }
    end_engine(e);
}

/* The program closes all that it has and more: the connection of the BIND is none of its own. */
Test(rebind, its_connection_is_out_of_reach)
{
    struct s5_engine *e = fake_engine();
    struct place at = listens(e, POLL, OFF, 60);
    int to = takes(e, &at);
    cr_assert(s5_registry_any_in_flight(&e->registry));
    for (int fd = FAKE_FIRST; fd < 1024; fd++)
        if (fd != at.fd && fd != at.ep && fd != to)
            s5_close(e, fd);
    cr_assert_eq(s5_close(e, to), 0);
    cr_assert_eq(s5_close(e, accepts(e, &at)), 0);
    leaves(e, &at);
    end_engine(e);
}
