/* Makes each call of a scenario over the fake network fail with each of several errors: the N-th call, for N = 1
 * until the scenario makes fewer calls. Whatever fails: the scenario ends in time, its error is one that a
 * program can act on, no descriptor and no negotiation is leaked, only the server is connected to, and the next
 * connection succeeds. */
#include "accept.h"
#include "bind.h"
#include "connect.h"
#include "epoll.h"
#include "fd_ops.h"
#include "query.h"
#include "fake_world.h"
#include <fcntl.h>
#include <stdio.h>

static int left;           /* calls until one fails; below 1: none fails (any more) */
static int fault;          /* the errno of that failure */
static const char *failed; /* the name of the failed call; NULL: none failed */

static bool is_due(const char *name)
{
    if (left <= 0 || --left > 0)
        return false;
    failed = name;
    errno = fault;
    return true;
}

#define S5_CALL(ret, name, params, args)                                                           \
    static ret failing_##name params                                                               \
    {                                                                                              \
        return is_due(#name) ? -1 : fake_calls.name args;                                          \
    }
#include "system_calls.def"

/* close() releases the descriptor even when it fails. */
static int close_or_fail(int fd)
{
    bool fails = is_due("close");
    int r = fake_calls.close(fd);
    if (fails)
        errno = fault;
    return fails ? -1 : r;
}

/* A call with MSG_DONTWAIT is not interrupted by a signal, and octets or space that were reported exist. */
static bool cannot_fail(int flags)
{
    return flags & MSG_DONTWAIT && (fault == EINTR || fault == EAGAIN);
}

static ssize_t send_or_fail(int fd, const void *buf, size_t n, int flags)
{
    return cannot_fail(flags) ? fake_calls.send(fd, buf, n, flags) : failing_send(fd, buf, n, flags);
}

static ssize_t recv_or_fail(int fd, void *buf, size_t n, int flags)
{
    return cannot_fail(flags) ? fake_calls.recv(fd, buf, n, flags) : failing_recv(fd, buf, n, flags);
}

/* A new registration may run out of memory; changing or deleting one needs none. */
static int epoll_ctl_or_fail(int ep, int op, int fd, struct epoll_event *event)
{
    return op == EPOLL_CTL_ADD ? failing_epoll_ctl(ep, op, fd, event)
                               : fake_calls.epoll_ctl(ep, op, fd, event);
}

/* Disconnecting cannot fail. A connection attempt that is interrupted by a signal continues. */
static int connect_or_fail(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_UNSPEC)
        return fake_calls.connect(fd, addr, len);
    if (fault != EINTR)
        return failing_connect(fd, addr, len);
    int type = 0;
    socklen_t size = sizeof type;
    fake_calls.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (type != SOCK_STREAM || fake_calls.fcntl(fd, F_GETFL, 0) & O_NONBLOCK)
        return fake_calls.connect(fd, addr, len); /* these are not interrupted by a signal */
    bool fails = is_due("connect");
    int r = fake_calls.connect(fd, addr, len);
    if (fails)
        errno = EINTR;
    return fails ? -1 : r;
}

static struct s5_calls failing_calls = {
#define S5_CALL(ret, name, params, args) .name = failing_##name,
#include "system_calls.def"
};

static struct s5_engine *failing_engine(void)
{
    struct s5_engine *e = fake_engine();
    failing_calls.close = close_or_fail;
    failing_calls.epoll_ctl = epoll_ctl_or_fail;
    failing_calls.send = send_or_fail;
    failing_calls.recv = recv_or_fail;
    failing_calls.keyed_connect = connect_or_fail;
    e->real = &failing_calls;
    return e;
}

/* --- the server --- */

/* Closes the connection if more than the greeting arrives first; otherwise serves it. */
static void close_on_pipelining(struct fake_peer *p)
{
    if (p->stage == 0 && p->n_heard > 3) {
        fake_take(p, p->n_heard);
        fake_close(p);
    } else
        scene_script(p);
}

/* --- the scenarios: they return 0 or an errno --- */

static struct scene scene;

/* No signal handler has SA_RESTART, so EINTR is a result that a program expects. */
static int wait_connected(struct s5_engine *e, int fd, int ep, int r)
{
    struct timespec limit = milliseconds(LONG_WAIT);
    struct pollfd p = {fd, POLLOUT, 0};
    struct epoll_event came = {.events = 0};
    int error = 0, n;
    socklen_t len = sizeof error;
    char text[64];
    if (r == -EINPROGRESS) {
        if (ep >= 0)
            n = s5_epoll_wait(e, ep, &came, 1, 0, &limit, NULL);
        else
            n = s5_wait_poll(e, &p, 1, &limit, NULL);
        if (n < 0)
            return -n;
        cr_assert_eq(n, 1, "nothing came after %s failed with %s", failed, strerrorname_np(fault));
        r = s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            return error;
    }
    if (r < 0)
        return -r;
    ssize_t octets = said(e, fd, text, sizeof text);
    if (octets < -1)
        return (int)-octets;
    cr_assert(failed || octets == sizeof HELLO - 1, "%zd octets", octets);
    if (octets > 0)
        cr_assert(memcmp(text, HELLO, (size_t)octets) == 0);
    return 0;
}

static int connect_stream(struct s5_engine *e, int flags, bool by_epoll, bool before)
{
    struct sockaddr_in to = target(80);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.u64 = 7};
    int fd = fake_socket(AF_INET, SOCK_STREAM | flags), ep = by_epoll ? fake_epoll() : -1;
    int r = before ? s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, fd, &event) : 0;
    if (r == 0)
        r = s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
    int begun = r;
    if (by_epoll && !before && (r == 0 || r == -EINPROGRESS))
        r = s5_epoll_ctl(e, ep, EPOLL_CTL_ADD, fd, &event);
    r = r < 0 && r != -EINPROGRESS ? -r : wait_connected(e, fd, ep, begun);
    left = 0;
    s5_close(e, fd);
    if (ep >= 0)
        s5_close(e, ep);
    return r;
}

static int connect_blocking(struct s5_engine *e)
{
    return connect_stream(e, 0, false, false);
}

static int connect_poll(struct s5_engine *e)
{
    return connect_stream(e, SOCK_NONBLOCK, false, false);
}

static int connect_epoll_before(struct s5_engine *e)
{
    return connect_stream(e, SOCK_NONBLOCK, true, true);
}

static int connect_epoll_after(struct s5_engine *e)
{
    return connect_stream(e, SOCK_NONBLOCK, true, false);
}

static int accept_bind(struct s5_engine *e)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)};
    socklen_t len = sizeof own;
    struct timespec limit = milliseconds(A_WHILE);
    char text[64];
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), peer = -1;
    struct pollfd p = {fd, POLLIN, 0};
    int r = s5_bind(e, fd, (struct sockaddr *)&own, sizeof own);
    if (r == 0)
        r = s5_listen(e, fd, 5);
    if (r == 0)
        r = s5_getsockname(e, fd, (struct sockaddr *)&own, &len);
    if (r == 0)
        r = s5_wait_poll(e, &p, 1, &limit, NULL);
    cr_assert(r != 0 || failed, "nobody calls");
    if (r > 0)
        r = peer = s5_accept(e, fd, (struct sockaddr *)&own, &len, SOCK_CLOEXEC);
    if (peer >= 0)
        r = (int)said(e, peer, text, sizeof text);
    left = 0;
    if (peer >= 0)
        s5_close(e, peer);
    s5_close(e, fd);
    return r < -1 ? -r : 0;
}

static int send_datagram(struct s5_engine *e)
{
    struct sockaddr_in to = target(53000), from;
    struct timeval limit = {1, 0};
    socklen_t len = sizeof from;
    char text[64];
    int fd = fake_socket(AF_INET, SOCK_DGRAM);
    fake_calls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fake_net.relay = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(0x1234)};
    inet_pton(AF_INET, FAKE_SERVER4, &fake_net.relay.sin_addr);
    ssize_t r = s5_sendto(e, fd, "datagram", 8, 0, (struct sockaddr *)&to, sizeof to);
    if (r >= 0)
        r = s5_recvfrom(e, fd, text, sizeof text, 0, (struct sockaddr *)&from, &len);
    if (r >= 0)
        cr_assert(r == 8 && memcmp(text, "datagram", 8) == 0 && memcmp(&from, &to, sizeof to) == 0);
    if (r >= 0)
        r = s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
    if (r >= 0)
        r = s5_send(e, fd, "again", 5, 0);
    if (r >= 0)
        r = s5_read(e, fd, text, sizeof text);
    cr_assert(failed || r == 5);
    left = 0;
    s5_close(e, fd);
    return r < 0 ? (int)-r : 0;
}

/* --- every call --- */

static const int errors[] = {ENOMEM, EMFILE, EINTR, EIO, EAGAIN, ENOBUFS, EACCES, ENETDOWN};

/* True for an error that a program knows, and not one that the engine uses internally. */
static bool is_known(int error)
{
    return error > 0 && error != ESTALE && error != EUNATCH && error != EUCLEAN &&
           strerrorname_np(error);
}

/* Runs the scenario once. Returns true if it made fewer than N calls. */
static bool run_once(struct s5_engine *e, int (*run)(struct s5_engine *), int n, bool closes)
{
    char what[128];
    failed = NULL;
    set_scene(e, &scene);
    if (closes)
        fake_net.script = close_on_pipelining;
    uint64_t begun = fake_net.now;
    left = n;
    int r = run(e);
    left = 0;
    snprintf(what, sizeof what, "%s (call %d) failed with %s, and then %s", failed, n,
             strerrorname_np(fault), r ? strerrorname_np(r) : "all went well");
    cr_assert(r == 0 || is_known(r), "%s: %d", what, r);
    cr_assert(r == 0 || failed, "%s", what);
    cr_assert(fake_net.now - begun <= (2 * TIMEOUT + 5) * S5_CLOCK_SECOND, "%s: after %g s", what,
              (double)(fake_net.now - begun) / (double)S5_CLOCK_SECOND);
    check_clean(e, what);
    return !failed;
}

static void each_call(enum s5_command command, int (*run)(struct s5_engine *), bool closes)
{
    struct s5_engine *e = failing_engine();
    int cases = 0;
    scene = (struct scene){.command = command, .way = GOOD};
    for (scene.method = 0; scene.method < METHODS; scene.method++)
        for (scene.pipeline = closes ? AUTO : OFF; scene.pipeline < PIPELINES; scene.pipeline++)
            for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
                scene.at = whole_size(&scene);
                fault = errors[i];
                for (int n = 1; !run_once(e, run, n, closes); n++) {
                    cr_assert_lt(n, 500, "no end: %s", failed);
                    cases++;
                    failed = NULL;
                    cr_assert(run_once(e, run, 0, closes), "the next one fails");
                }
            }
    cr_assert_gt(cases, 200, "%d cases", cases);
    e->real = &fake_calls;
    end_engine(e);
}

Test(injection, blocking_connect)
{
    each_call(S5_CONNECT, connect_blocking, false);
}

Test(injection, poll)
{
    each_call(S5_CONNECT, connect_poll, false);
}

Test(injection, epoll_registered_before)
{
    each_call(S5_CONNECT, connect_epoll_before, false);
}

Test(injection, epoll_registered_after)
{
    each_call(S5_CONNECT, connect_epoll_after, false);
}

Test(injection, blocking_connect_reconnected)
{
    each_call(S5_CONNECT, connect_blocking, true);
}

Test(injection, poll_reconnected)
{
    each_call(S5_CONNECT, connect_poll, true);
}

Test(injection, epoll_reconnected)
{
    each_call(S5_CONNECT, connect_epoll_before, true);
}

Test(injection, bind)
{
    each_call(S5_BIND, accept_bind, false);
}

Test(injection, datagrams)
{
    each_call(S5_UDP_ASSOCIATE, send_datagram, false);
}
