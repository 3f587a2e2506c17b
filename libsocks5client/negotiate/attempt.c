/* One attempt: a session with a server, and the connection to it. The step that finds that it failed may make another
 * one on the same socket: without pipelining, or with another server. */
#include "attempt.h"
#include "chain.h"
#include "choice.h"
#include "clock.h"
#include "disconnect.h"
#include "hops.h"
#include "identity.h"
#include "negotiation_bounds.h"
#include "rcvlowat.h"
#include "reply.h"
#include "server_cache.h"
#include "start_session.h"
#include "timeo.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/time.h>

/* --- beginning --- */

/* Starts a session of F with SERVER. */
static inline __attribute__((always_inline)) int use_server(struct s5_engine *e, struct s5_negotiation *f,
                                                            const struct s5_server *server, const struct s5_addr *dst)
{
    f->probe_until = S5_CLOCK_NEVER;
    f->probe_waited = 0;
    f->error = 0;
    f->again = f->probing = false;
    f->server_index = server->index;
    f->chain.n = 0;
    if (__builtin_expect(server->n_hops, 0))
        return s5_hops_begin(e, f, server, dst);
    f->server_key = e->server_keys[f->server_index];
    bool pipeline = server->pipeline == S5_PIPELINE_ON;
    if (server->pipeline == S5_PIPELINE_AUTO) {
        enum s5_pipelining_support support =
            s5_server_cache_pipelining(atomic_load(&e->shm)->server_cache, f->server_key);
        pipeline = support != S5_PIPELINING_UNSUPPORTED;
        f->probing = support == S5_PIPELINING_UNKNOWN;
    }
    int r = 0;
    if (server->isolate)
        r = s5_identity_choose(e, &f->identity, server, f->command == S5_UDP_ASSOCIATE ? NULL : dst);
    return r == 0 ? s5_start_session(&f->session, f, server, (enum s5_command)f->command, dst, pipeline) : r;
}

__attribute__((noinline, cold)) int s5_negotiation_use(struct s5_engine *e, struct s5_negotiation *f,
                                                       const struct s5_server *server)
{
    struct s5_addr dst = *s5_negotiation_destination(f);
    f->mark = S5_REPLY_PLAIN;
    return use_server(e, f, server, &dst);
}

/* Inlined into each caller, since every connect() passes here and a BIND is rare. */
static inline __attribute__((always_inline)) int begin_negotiation(struct s5_engine *e, struct s5_negotiation *f,
                                                                   const struct s5_server *server,
                                                                   enum s5_command command, const struct s5_addr *dst)
{
    f->command = (uint8_t)command;
    f->mark = S5_REPLY_PLAIN;
    f->begun = s5_clock_now();
    f->deadline = f->begun + server->timeout * S5_CLOCK_SECOND;
    f->block_until = S5_CLOCK_NEVER;
    atomic_store_explicit(&f->sent, 0, memory_order_relaxed);
    f->rcvlowat = 0;
    f->choice.rule = 0;
    f->attempt = S5_ATTEMPT_ONLY;
    f->keeps_port = false;
    atomic_store_explicit(&f->unattended, false, memory_order_relaxed);
    int r = use_server(e, f, server, dst);
    s5_negotiation_update_wait(f);
    return r;
}

void s5_negotiation_choose(struct s5_engine *e, struct s5_negotiation *f, const struct s5_choice *choice)
{
    f->choice = *choice;
    f->attempt = S5_ATTEMPT_FIRST;
    f->deadline = s5_choice_deadline(e, choice);
    if (f->chain.n) {
        f->chain.until = f->deadline;
        f->deadline = s5_hops_deadline(e, f);
    }
    s5_negotiation_update_wait(f);
}

void s5_negotiation_limit(struct s5_negotiation *f, uint64_t until)
{
    if (until < f->deadline)
        f->deadline = until;
    s5_negotiation_update_wait(f);
}

int s5_negotiation_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                         const struct s5_addr *dst)
{
    return begin_negotiation(e, f, server, S5_CONNECT, dst);
}

int s5_negotiation_begin_bind(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                              const struct s5_addr *dst)
{
    return begin_negotiation(e, f, server, S5_BIND, dst);
}

int s5_negotiation_begin_udp(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                             const struct s5_addr *dst)
{
    return begin_negotiation(e, f, server, S5_UDP_ASSOCIATE, dst);
}

int s5_negotiation_bound_address(const struct s5_engine *e, const struct s5_negotiation *f, int family,
                                 struct s5_endpoint *ret)
{
    struct s5_addr at = *s5_session_bound(&f->session);
    struct s5_endpoint server = s5_endpoint_bounded(&f->server);
    uint16_t port = at.port;
    if (s5_addr_says_nothing(&at) && f->chain.n > 1)
        s5_chain_destination(e, f, f->chain.n - 2u, &at); /* the last hop */
    else if (s5_addr_says_nothing(&at))
        s5_addr_from_sockaddr(&at, &server.any, server.len);
    at.port = port;
    return port ? s5_endpoint_of(&at, family, ret) : -EPROTO;
}

void s5_negotiation_await_next_reply(struct s5_negotiation *f)
{
    s5_session_next_reply(&f->session);
    f->probing = f->again = false;
    f->deadline = f->probe_until = S5_CLOCK_NEVER;
    s5_negotiation_update_wait(f);
    atomic_store(&f->phase, S5_NEGOTIATION_TALKING);
}

/* --- connecting --- */

struct limit {
    struct s5_timeo own; /* the application's SO_SNDTIMEO; zero: none */
    bool changed;
    bool brief; /* other negotiations are in flight, which the wait for this connection must continue */
};

/* Only SO_SNDTIMEO ends a blocking connect(). While connecting it is the shorter of the application's value and the
 * server's timeout. A second attempt is made in a step, possibly by another thread, and must not block: its limit is 1
 * us, after which it continues like a non-blocking one. */
static void set_connect_timeout(struct s5_engine *e, struct s5_negotiation *f, int fd, struct limit *limit)
{
    struct timespec own;
    socklen_t len = sizeof limit->own;
    struct s5_timeo engine_limit = {e->policy->servers[s5_negotiation_server(f)].timeout, 0};
    if (f->attempt || limit->brief)
        engine_limit = (struct s5_timeo){0, 1};
    limit->changed = false;
    if (e->real->getsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &limit->own, &len) != 0)
        return;
    if (f->attempt < S5_ATTEMPT_LATER)
        f->block_until = S5_CLOCK_NEVER;
    if (timerisset(&limit->own)) {
        own = (struct timespec){limit->own.tv_sec, limit->own.tv_usec * 1000};
        if (f->attempt < S5_ATTEMPT_LATER)
            f->block_until = s5_clock_after(&own);
        if (!timercmp(&limit->own, &engine_limit, >))
            return;
    }
    limit->changed = e->real->setsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &engine_limit, sizeof engine_limit) == 0;
}

int s5_negotiation_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, bool nonblock, bool brief)
{
    struct limit limit = {{0, 0}, false, false};
    f->written = f->pieces = 0;
    if (f->server.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&f->server.v6.sin6_addr)) {
        int off = 0; /* fails on a bound socket; connect() then reports the error */
        e->real->setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (__builtin_expect(s5_rcvlowat_used(e) && f->attempt < S5_ATTEMPT_LATER, 0))
        s5_rcvlowat_override(e, f, fd);
    if (!nonblock) {
        limit.brief = brief;
        set_connect_timeout(e, f, fd, &limit);
    }
    int r = s5_engine_real_connect(e, fd, &f->server.any, f->server.len);
    if (limit.changed)
        e->real->setsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &limit.own, sizeof limit.own);
    if (limit.changed && r == -EINPROGRESS && !f->attempt && !limit.brief)
        r = -ETIMEDOUT; /* the engine's limit expired, not the application's */
    atomic_store(&f->phase, S5_NEGOTIATION_DIALING);
    return r;
}

int s5_negotiation_connect_again(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    int flags = e->real->fcntl(fd, F_GETFL, 0);
    f->attempt = S5_ATTEMPT_LATER;
    int r = s5_negotiation_connect(e, f, fd, flags >= 0 && (flags & O_NONBLOCK), true);
    return r == -EINPROGRESS || r == -EINTR ? 0 : r; /* a signal ends the call, not the attempt */
}

__attribute__((noinline, cold)) int s5_negotiation_restart(struct s5_engine *e, struct s5_negotiation *f)
{
    if (f->chain.n)
        return s5_hops_restart(e, f);
    struct s5_addr dst = f->session.dst;
    const struct s5_policy *p = s5_engine_policy(e);
    /* After reloads the index may be that of another server, which would get the user and password. */
    if (!p || e->server_keys[s5_negotiation_server(f)] != f->server_key)
        return -ECONNABORTED;
    const struct s5_server *server = &p->servers[s5_negotiation_server(f)];
    return s5_start_session(&f->session, f, server, (enum s5_command)f->command, &dst, false);
}

/* --- the end --- */

/* If the kernel refuses (EBUSY, while a thread waits on the socket), the connection to the server remains. It is shut
 * down, so that nothing of the application can be written to it. */
static void disconnect_socket(struct s5_engine *e, int fd)
{
    if (s5_engine_real_disconnect(e, fd) < 0)
        e->real->shutdown(fd, SHUT_RDWR);
}

/* A port that the kernel chose for bind() is kept. */
void s5_negotiation_disconnect(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    if (!f->keeps_port || s5_disconnect_keeping_port(e, fd) < 0)
        disconnect_socket(e, fd);
}

void s5_negotiation_fail(struct s5_engine *e, struct s5_negotiation *f, int fd, int error)
{
    if (error)
        disconnect_socket(e, fd);
    if (f->rcvlowat)
        s5_rcvlowat_restore(e, f, fd);
    f->error = error;
    atomic_store_explicit(&f->phase, S5_NEGOTIATION_FAILED, memory_order_release);
}
