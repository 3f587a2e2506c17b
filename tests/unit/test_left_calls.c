/* Calls that a program leaves before they return, over the fake network. At the N-th real call a signal handler
 * jumps out of them, or the thread is cancelled, for N = 1 until the call makes fewer real calls. Nothing happens
 * where signals are blocked or cancellation is disabled. After the descriptor is closed nothing of the call may
 * be left: no descriptor, no negotiation, no copy of the password. The next call must succeed.
 *
 * Also calls whose descriptor number another thread gives to another socket at the N-th real call. That socket
 * must not be affected. */
#include "connect.h"
#include "fd_ops.h"
#include "query.h"
#include "fake_world.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>

enum leaving { JUMP, CANCEL, REPLACE };

static enum leaving leaving;
static int left;      /* real calls until the call is left; below 1: it is not left (any more) */
static bool was_left;
static const char *at_call;
static sigjmp_buf outside;

static bool can_jump(void)
{
    sigset_t held;
    pthread_sigmask(SIG_BLOCK, NULL, &held);
    return !sigismember(&held, SIGALRM);
}

static bool can_cancel(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcancelstate(state, NULL);
    return state == PTHREAD_CANCEL_ENABLE;
}

static bool duplicated; /* the call has its own duplicate of the socket; before that it may act on the other socket */

static void replace_number(const char *name);

static void maybe_leave(const char *name)
{
    bool early = !duplicated;
    duplicated |= strcmp(name, "fcntl") == 0;
    if (left <= 0 || --left > 0)
        return;
    if (leaving == REPLACE) {
        if (!early)
            replace_number(name);
        return;
    }
    if (leaving == JUMP ? !can_jump() : !can_cancel())
        return;
    was_left = true;
    at_call = name;
    if (leaving == JUMP)
        siglongjmp(outside, 1);
    pthread_exit(NULL);
}

#define S5_CALL(ret, name, params, args)                                                           \
    static ret left_##name params                                                                  \
    {                                                                                              \
        maybe_leave(#name);                                                                        \
        return fake_calls.name args;                                                               \
    }
#include "system_calls.def"

static const struct s5_calls left_calls = {
#define S5_CALL(ret, name, params, args) .name = left_##name,
#include "system_calls.def"
};

/* --- the calls --- */

struct call {
    struct s5_engine *e;
    int fd;
    ssize_t result;
    void (*make)(struct call *c);
};

static void call_connect(struct call *c)
{
    struct sockaddr_in to = target(80);
    c->result = s5_connect(c->e, c->fd, (struct sockaddr *)&to, sizeof to);
}

static void call_sendto(struct call *c)
{
    struct sockaddr_in to = target(7);
    c->result = s5_sendto(c->e, c->fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
}

/* A separate function, so that the stack is as deep for the calls that follow. */
static __attribute__((noinline)) void run_in_this_thread(struct call *c)
{
    if (sigsetjmp(outside, 1) == 0)
        c->make(c);
}

static void *run_in_thread(void *user)
{
    struct call *c = user;
    c->make(c);
    return NULL;
}

static void run_call(struct call *c)
{
    pthread_t thread;
    was_left = false;
    if (leaving == JUMP) {
        run_in_this_thread(c);
        return;
    }
    cr_assert_eq(pthread_create(&thread, NULL, run_in_thread, c), 0);
    pthread_join(thread, NULL);
}

/* --- what may be left --- */

static void check_no_password(struct s5_engine *e, const char *what)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t used = atomic_load(&shm->negotiations_used);
    cr_assert_null(memmem(shm->negotiations, used * sizeof shm->negotiations[0], SECRET, sizeof SECRET - 1),
                   "%s: the password is there still", what);
}

static void *return_at_once(void *unused)
{
    return unused;
}

static void each_call(const char *name, int type, ssize_t good, void (*make)(struct call *c))
{
    struct s5_engine *e = fake_engine();
    struct scene scene = {.method = PASSWORD, .pipeline = ON, .way = GOOD, .at = 1000};
    struct call c = {e, -1, 0, make};
    int calls = 0;
    char what[128];
    scene.command = type == SOCK_DGRAM ? S5_UDP_ASSOCIATE : S5_CONNECT;
    e->real = &left_calls;
    for (int n = 1; n == 1 || was_left || left <= 0; n++) {
        set_scene(e, &scene);
        fake_net.relay = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(0x1234)};
        inet_pton(AF_INET, FAKE_SERVER4, &fake_net.relay.sin_addr);
        c.fd = fake_socket(AF_INET, type);
        left = n;
        run_call(&c);
        bool ended = left > 0;
        left = 0;
        snprintf(what, sizeof what, "%s left at call %d, %s", name, n, was_left ? at_call : "none");
        if (was_left) {
            calls++;
            if (type == SOCK_DGRAM) { /* the same call again, which is not left */
                c.make(&c);
                cr_assert_eq(c.result, good, "%s: then %zd", what, c.result);
            }
        } else
            cr_assert_eq(c.result, good, "%s: %zd", what, c.result);
        cr_assert_eq(s5_close(e, c.fd), 0);
        check_clean(e, what);
        check_no_password(e, what);
        if (ended)
            break;
    }
    cr_assert_gt(calls, 5, "%s was left %d times", name, calls);
    end_engine(e);
}

static void leave_in_every_way(const char *name, int type, ssize_t good, void (*make)(struct call *c))
{
    pthread_t thread;
    for (int threads = 0; threads < 2; threads++) {
        leaving = JUMP;
        each_call(name, type, good, make);
        /* From now on libc knows that there are several threads. */
        cr_assert_eq(pthread_create(&thread, NULL, return_at_once, NULL), 0);
        pthread_join(thread, NULL);
    }
    leaving = CANCEL;
    each_call(name, type, good, make);
}

Test(left_calls, connect_leaves_nothing)
{
    leave_in_every_way("connect()", SOCK_STREAM, 0, call_connect);
}

Test(left_calls, a_first_datagram_leaves_nothing)
{
    leave_in_every_way("sendto()", SOCK_DGRAM, 1, call_sendto);
}

/* --- the number refers to another socket --- */

static struct s5_engine *engine;
static int number, other;

static void *replace_in_thread(void *unused)
{
    cr_assert_eq(s5_close(engine, number), 0);
    cr_assert_eq(fake_calls.fcntl(other, F_DUPFD, number), number);
    return unused;
}

/* The order with the call that sends the datagram is up to the kernel, so that call is skipped. */
static void replace_number(const char *name)
{
    pthread_t thread;
    if (strcmp(name, "sendmsg") == 0)
        return;
    was_left = true;
    at_call = name;
    cr_assert_eq(pthread_create(&thread, NULL, replace_in_thread, NULL), 0);
    pthread_join(thread, NULL);
}

/* Returns a socket that is connected directly, with an unread datagram in its queue. */
static int near_socket(void)
{
    struct sockaddr_in far = target(99);
    int fd = fake_socket(AF_INET, SOCK_DGRAM);
    cr_assert_eq(fake_calls.connect(fd, (struct sockaddr *)&fake_net.relay, sizeof fake_net.relay), 0);
    cr_assert_eq(fake_calls.send(fd, "mine", 4, 0), 4);
    cr_assert_eq(fake_calls.connect(fd, (struct sockaddr *)&far, sizeof far), 0);
    return fd;
}

static void check_unaffected(struct s5_engine *e, int fd, const char *what)
{
    struct sockaddr_in peer, far = target(99);
    socklen_t len = sizeof peer;
    char got[16];
    cr_assert(s5_registry_foreign(&e->registry, fd), "%s: the number is ours still", what);
    cr_assert_eq(s5_getpeername(e, fd, (struct sockaddr *)&peer, &len), 0);
    cr_assert(peer.sin_port == far.sin_port, "%s: it is connected to port %d", what, ntohs(peer.sin_port));
    cr_assert_eq(s5_recvfrom(e, fd, got, sizeof got, MSG_DONTWAIT, NULL, NULL), 4, "%s: its datagram is gone", what);
}

Test(left_calls, a_replaced_descriptor_is_not_affected)
{
    struct scene scene = {.method = PASSWORD, .pipeline = ON, .way = GOOD, .at = 1000,
                          .command = S5_UDP_ASSOCIATE};
    char what[128];
    int calls = 0;
    engine = fake_engine();
    engine->real = &left_calls;
    leaving = REPLACE;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, return_at_once, NULL), 0);
    pthread_join(thread, NULL);
    struct call c = {engine, -1, 0, call_sendto};
    for (int n = 1;; n++) {
        set_scene(engine, &scene);
        fake_net.relay = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(0x1234)};
        inet_pton(AF_INET, FAKE_SERVER4, &fake_net.relay.sin_addr);
        number = c.fd = fake_socket(AF_INET, SOCK_DGRAM);
        other = near_socket();
        left = n;
        was_left = duplicated = false;
        call_sendto(&c);
        bool ended = left > 0;
        left = 0;
        snprintf(what, sizeof what, "sendto() replaced at call %d, %s", n, was_left ? at_call : "none");
        if (was_left) {
            calls++;
            cr_assert(c.result == 1 || c.result == -EBADF, "%s: %zd", what, c.result);
            check_unaffected(engine, c.fd, what);
        }
        cr_assert_eq(s5_close(engine, c.fd), 0);
        cr_assert_eq(s5_close(engine, other), 0);
        check_clean(engine, what);
        if (ended)
            break;
    }
    cr_assert_gt(calls, 10, "it was replaced %d times", calls);
    end_engine(engine);
}
