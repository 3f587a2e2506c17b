/* Outgoing TCP connections: from an address to a route, a server and a negotiation, and to the result of the
 * negotiation.
 *
 * The record is in the registry and its epoll registrations are overridden before connect() to the server begins, so
 * that no thread sees readiness that is not the application's. The negotiation of a non-blocking socket is left in
 * flight. That of a blocking one is driven to its end here. */
#include "tcp_connect.h"
#include "blocking.h"
#include "choice.h"
#include "clock.h"
#include "complete.h"
#include "drive.h"
#include "epoll_mask.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "inflight.h"
#include "names.h"
#include "negotiation_bounds.h"
#include "next_server.h"
#include "pool.h"
#include "record.h"
#include "registry.h"
#include "resolve.h"
#include "route.h"
#include "step.h"
#include "timeo.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

/* --- driving the negotiation of a blocking socket --- */

/* The record may be forgotten or belong to another connection by now, so the error is F's. */
static __attribute__((noinline, cold)) int fetch_failure(struct s5_engine *e, struct s5_record *record,
                                                         struct s5_negotiation *f, int fd, int held)
{
    int error = s5_complete_fetch_error(e, s5_negotiation_server(f), held, s5_negotiation_error(f));
    if (s5_record_hold(record)) {
        if (record->cookie == f->cookie)
            s5_fd_forget_record(e, record, fd);
        s5_fd_release_record(e, record);
    }
    return error;
}

/* Returns the result of F, which is over, for a call whose descriptor FD may be closed or name another socket by now.
 * HELD is F's socket. */
static inline __attribute__((always_inline)) int get_result(struct s5_engine *e, struct s5_record *record,
                                                            struct s5_negotiation *f, int fd, int held)
{
    s5_complete(e, record);
    if (__builtin_expect(atomic_load(&f->phase) == S5_NEGOTIATION_READY, 1))
        return 0;
    return fetch_failure(e, record, f, fd, held);
}

/* Drives F, RECORD's negotiation, to its end, beginning with EVENTS. 0 or its error; -EINPROGRESS: UNTIL passed;
 * -EINTR. */
static inline __attribute__((always_inline)) int drive_negotiation(struct s5_engine *e, struct s5_record *record,
                                                                   struct s5_negotiation *f, int fd, int held,
                                                                   uint64_t until, short events,
                                                                   const struct s5_cleanup *call, uint32_t ticket)
{
    int r = s5_drive(e, f, held == fd ? record : NULL, held, false, until, events, call, ticket);
    return __builtin_expect(r == 0, 1) ? get_result(e, record, f, fd, held) : r;
}

/* The same for a call that finds RECORD in flight. 1: another thread has fetched the result, or closed FD. */
__attribute__((noinline, cold)) int s5_tcp_join(struct s5_engine *e, struct s5_record *record, int fd)
{
    uint32_t ticket;
    struct s5_cleanup *call = s5_cleanup_push(s5_blocking_release, e, (uintptr_t)&ticket, &ticket);
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (f) {
        s5_blocking_holds_one(call, f);
        int held = s5_blocking_hold(e, call, fd, f->cookie);
        int r =
            drive_negotiation(e, record, f, fd, held, s5_inflight_block_until(e, held, S5_SNDTIMEO), 0, call, ticket);
        if (s5_blocking_end(e, call, ticket, fd, held))
            s5_negotiation_release(e, f);
        return r;
    }
    s5_cleanup_pop(call, ticket);
    s5_complete(e, record);
    return s5_complete_result(e, record, fd);
}

__attribute__((noinline, cold)) int s5_tcp_finish(struct s5_engine *e, int fd, bool nonblock, uint64_t until)
{
    struct s5_record *record = s5_complete_find(e, fd);
    uint32_t ticket;
    if (!record)
        return 0;
    struct s5_cleanup *call = s5_cleanup_push(s5_blocking_release, e, (uintptr_t)&ticket, &ticket);
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (!f) {
        s5_cleanup_pop(call, ticket);
        return 0;
    }
    s5_blocking_holds_one(call, f);
    int held = nonblock ? fd : s5_blocking_hold(e, call, fd, f->cookie), r;
    const struct s5_record *owner = held == fd ? record : NULL;
    if (nonblock)
        r = s5_negotiation_step(e, f, owner, held, 0) < S5_STEP_DONE ? -EAGAIN : 0;
    else
        r = s5_drive(e, f, owner, held, false, until, 0, call, ticket);
    if (!s5_cleanup_owns(call, ticket))
        return -ECONNABORTED;
    if (r == -EBADF)
        r = 0;
    if (r == 0)
        s5_complete(e, record);
    if (s5_blocking_end(e, call, ticket, fd, held))
        s5_negotiation_release(e, f);
    return r == -EINPROGRESS ? -EAGAIN : r < 0 ? r : 0;
}

/* --- connect() --- */

bool s5_tcp_nonblocking(struct s5_engine *e, int fd)
{
    int flags = e->real->fcntl(fd, F_GETFL, 0);
    return flags >= 0 && (flags & O_NONBLOCK);
}

/* Makes duplicates of FD that were made before it had a record name the same record. */
static __attribute__((noinline, cold)) void share_duplicates(struct s5_engine *e, int fd)
{
    uint32_t at = 0;
    struct s5_record *record = s5_fd_hold_record(e, fd);
    if (!record)
        return;
    for (int other; (other = s5_registry_next_dup(&e->registry, fd, &at)) >= 0;)
        if (!s5_fd_record(e, other) && s5_fd_is_same_socket(e, record, other) &&
            s5_registry_share(&e->registry, other, record) == 0)
            s5_epoll_update(e, other);
    s5_fd_release_record(e, record);
}

static inline __attribute__((always_inline)) int make_record(struct s5_engine *e, int fd, int held,
                                                             struct s5_negotiation *f, struct s5_record **ret)
{
    struct s5_record *record = s5_registry_new(&e->registry);
    if (!record) {
        s5_negotiation_release(e, f);
        return -ENOBUFS;
    }
    if (!f->cookie)
        f->cookie = s5_fd_cookie(e, held);
    record->cookie = f->cookie;
    record->peer = f->peer;
    atomic_store_explicit(&record->negotiation_generation, s5_negotiation_generation(f), memory_order_relaxed);
    atomic_store_explicit(&record->fd, fd, memory_order_relaxed);
    atomic_store_explicit(&record->negotiation, f, memory_order_relaxed);
    atomic_store_explicit(&record->state, S5_RECORD_IN_FLIGHT, memory_order_relaxed);
    s5_registry_publish(record);
    int r = s5_registry_inflight_add(&e->registry, record);
    if (r == 0)
        r = s5_registry_name(&e->registry, fd, record);
    if (r < 0)
        s5_fd_release_record(e, record);
    else
        *ret = record;
    return r;
}

__attribute__((noinline, cold)) int s5_tcp_new_record(struct s5_engine *e, int fd, int held, struct s5_negotiation *f,
                                                      struct s5_record **ret)
{
    return make_record(e, fd, held, f, ret);
}

/* A socket bound to loopback cannot reach a server. The kernel's EINVAL does not show this. */
static int explain_error(struct s5_engine *e, int fd, int error)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    struct s5_addr addr;
    if (error != -EINVAL || e->real->getsockname(fd, (struct sockaddr *)&own, &len) != 0 ||
        s5_addr_from_sockaddr(&addr, (struct sockaddr *)&own, len) < 0 || !s5_addr_is_loopback(&addr))
        return error;
    s5_log(&e->log, S5_LOG_ERROR, "refused: a socket bound to loopback cannot reach a server");
    return -EAFNOSUPPORT;
}

static int fail_unreachable(struct s5_engine *e, struct s5_record *record, struct s5_negotiation *f, int fd, int held,
                            int error)
{
    error = explain_error(e, held, error);
    s5_complete_log_unreachable(e, s5_negotiation_server(f), error);
    if (s5_negotiation_lock(e, f)) {
        s5_negotiation_fail(e, f, held, error);
        s5_negotiation_unlock(f);
    }
    return get_result(e, record, f, fd, held);
}

/* Connects F, RECORD's negotiation, to the server and, unless NONBLOCK, drives it to its end. */
static inline __attribute__((always_inline)) int connect_to_server(struct s5_engine *e, struct s5_record *record,
                                                                   struct s5_negotiation *f, int fd, int held,
                                                                   bool nonblock, const struct s5_cleanup *call,
                                                                   uint32_t ticket)
{
    bool brief = !nonblock && s5_registry_in_flight_count(&e->registry) > 1 && s5_inflight_any(e);
    int r = s5_negotiation_connect(e, f, held, nonblock, brief);
    if (__builtin_expect(!s5_cleanup_owns(call, ticket), 0))
        return -ECONNABORTED;
    if (r == -EINPROGRESS && nonblock && !atomic_load(&f->rearm))
        return r;
    /* The kernel restarts a connect() without a timeout, but the engine has set one. */
    if (r == -EINTR && (f->block_until != S5_CLOCK_NEVER || !s5_inflight_restarts()))
        return r;
    if (r < 0 && r != -EINTR && r != -EINPROGRESS && !s5_next_server_connect(e, f, held, r))
        return fail_unreachable(e, record, f, fd, held, r);
    if (!nonblock)
        return drive_negotiation(e, record, f, fd, held, f->block_until, r == 0 ? POLLOUT : 0, call, ticket);
    if (s5_complete_step(e, record, r == 0 ? POLLOUT : 0) < S5_STEP_DONE)
        return -EINPROGRESS;
    r = get_result(e, record, f, fd, held);
    /* Another thread completed it first. Readiness reports this, as it does for every connection. */
    return r == 0 && nonblock ? -EINPROGRESS : r;
}

/* CALL holds F's two references at first. *RET_HELD: the socket, see s5_blocking_hold(). */
static __attribute__((noinline)) int start_negotiation(struct s5_engine *e, int fd, struct s5_negotiation *f,
                                                       struct s5_cleanup *call, uint32_t ticket, int *ret_held)
{
    struct s5_record *record;
    bool nonblock = s5_tcp_nonblocking(e, fd);
    if (!f->cookie)
        f->cookie = s5_fd_cookie(e, fd);
    int held = *ret_held = nonblock ? fd : s5_blocking_hold(e, call, fd, f->cookie);
    uint32_t driver = nonblock ? 0 : atomic_load_explicit(&e->process_number, memory_order_relaxed);
    atomic_store_explicit(&f->driver, driver, memory_order_relaxed);
    int r = make_record(e, fd, held, f, &record);
    s5_blocking_gave_one(call); /* the other one is the record's, or was released with it */
    if (r == 0) {
        struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
        uint32_t bound = slot ? atomic_load_explicit(&slot->bound, memory_order_relaxed) : 0;
        f->keeps_port = bound && bound == (uint32_t)f->cookie;
        if (s5_registry_watched(slot))
            s5_epoll_update_slot(e, fd, slot);
        if (__builtin_expect(s5_registry_has_dups(&e->registry), 0))
            share_duplicates(e, fd);
        atomic_store_explicit(&f->unattended, nonblock || !S5_SINGLE_THREADED, memory_order_relaxed);
        r = connect_to_server(e, record, f, fd, held, nonblock, call, ticket);
        if (s5_cleanup_owns(call, ticket)) { /* matters if a signal ended the call */
            atomic_store_explicit(&f->driver, 0, memory_order_relaxed);
            if (r == -EINPROGRESS || r == -EINTR)
                atomic_store_explicit(&f->unattended, true, memory_order_relaxed);
        }
    }
    return r;
}

static int begin_negotiation(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                             const struct s5_addr *to)
{
    int r = s5_negotiation_begin(e, f, server, to);
    if (r != -EINVAL)
        return r;
    s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" has no method that this program can use",
           s5_server_name(server));
    return -EOPNOTSUPP;
}

/* Copies SA, which is complete and of one of the two families. Each size is a constant. */
static void note_peer(struct s5_endpoint *peer, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        memcpy(&peer->v4, sa, sizeof peer->v4);
        peer->len = sizeof peer->v4;
    } else {
        memcpy(&peer->v6, sa, sizeof peer->v6);
        peer->len = sizeof peer->v6;
    }
}

/* SERVER is resolved. COOKIE: the socket's; 0: unknown. CHOICE: of SERVER and others; NULL: there are no others. */
static inline __attribute__((always_inline)) int connect_via_server(struct s5_engine *e, int fd,
                                                                    const struct sockaddr *sa, const struct s5_addr *to,
                                                                    const struct s5_server *server, uint64_t cookie,
                                                                    const struct s5_choice *choice)
{
    uint32_t ticket;
    int held = fd, r;
    struct s5_cleanup *call = s5_cleanup_push(s5_blocking_release, e, (uintptr_t)&ticket, &ticket);
    struct s5_negotiation *f = s5_negotiation_take_two(e); /* one is the record's */
    if (!f) {
        s5_cleanup_pop(call, ticket);
        s5_log(&e->log, S5_LOG_ERROR, "refused: too many connections are being negotiated");
        return -ENOBUFS;
    }
    s5_blocking_holds_two(call, f);
    f->cookie = cookie;
    note_peer(&f->peer, sa);
    r = s5_route_address(e, server, sa->sa_family, &f->server);
    if (r == 0)
        r = begin_negotiation(e, f, server, to);
    if (choice && r == 0)
        s5_negotiation_choose(e, f, choice);
    if (__builtin_expect(r == 0, 1))
        r = start_negotiation(e, fd, f, call, ticket, &held);
    else if (s5_cleanup_owns(call, ticket))
        s5_negotiation_release(e, f);
    if (s5_blocking_end(e, call, ticket, fd, held))
        s5_negotiation_release(e, f);
    return r;
}

/* The same through one of the servers of rule number RULE of P, which has several. */
static __attribute__((noinline, cold)) int connect_via_one_of(struct s5_engine *e, int fd, const struct sockaddr *sa,
                                                              const struct s5_addr *to, const struct s5_policy *p,
                                                              unsigned rule, uint64_t cookie)
{
    struct s5_choice choice;
    s5_choice_begin(e, &choice, p, rule, to);
    const struct s5_server *server = s5_choice_next(e, &choice, sa->sa_family);
    if (server)
        return connect_via_server(e, fd, sa, to, server, cookie, &choice);
    s5_log(&e->log, S5_LOG_ERROR, "refused: no server of rule \"%s\" can be reached by an %s socket",
           s5_policy_text(p, p->rules[rule].name), sa->sa_family == AF_INET ? "IPv4" : "IPv6");
    return -EHOSTUNREACH;
}

static int connect_directly(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len, uint8_t kind)
{
    if (__builtin_expect(!s5_registry_in_flight_count(&e->registry), 1) || kind != S5_PROTO_TCP ||
        s5_tcp_nonblocking(e, fd))
        return s5_engine_real_connect(e, fd, addr, len);
    return s5_inflight_connect(e, fd, addr, len);
}

int s5_tcp_connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name, uint8_t protocol)
{
    struct s5_endpoint at;
    int r = name ? s5_resolve_direct(e, name, addr->sa_family, &at) : 0;
    if (r < 0)
        return r;
    return name ? connect_directly(e, fd, &at.any, at.len, protocol) : connect_directly(e, fd, addr, len, protocol);
}

/* Replaces TO, the unspecified address, by the loopback address to which the kernel would connect. ADDR, which equals
 * TO, is replaced as well. */
static __attribute__((noinline, cold)) void replace_by_loopback(struct s5_addr *to, struct sockaddr_storage *addr)
{
    socklen_t len;
    s5_addr_become_loopback(to);
    s5_addr_to_sockaddr(to, addr->ss_family, addr, &len);
}

int s5_tcp_connect(struct s5_engine *e, int fd, struct sockaddr_storage *own, socklen_t len, struct s5_addr *to,
                   bool named, uint64_t cookie)
{
    const struct sockaddr *addr = (struct sockaddr *)own;
    const struct s5_server *server = NULL;
    int r = s5_route(e, to, S5_PROTO_TCP, S5_CMD_CONNECT, &server);
    if (r < 0)
        return r;
    if (r == 0)
        return s5_tcp_connect_direct(e, fd, addr, len, named ? to : NULL, S5_PROTO_TCP);
    if (__builtin_expect(s5_addr_is_unspecified(to), 0))
        replace_by_loopback(to, own);
    if (__builtin_expect(r > 1, 0))
        return connect_via_one_of(e, fd, addr, to, s5_server_policy(server), (unsigned)r - 2, cookie);
    r = s5_resolve_server(e, server, S5_LOG_ERROR);
    return r < 0 ? r : connect_via_server(e, fd, addr, to, server, cookie, NULL);
}

__attribute__((noinline, cold)) int s5_tcp_connect_dns(struct s5_engine *e, int fd, const struct s5_endpoint *server)
{
    struct sockaddr_storage own = {0};
    struct s5_addr to;
    uint64_t cookie = 0;
    memcpy(&own, &server->any, server->len < sizeof server->v6 ? server->len : sizeof server->v6);
    if (s5_fd_checked_record(e, fd, &cookie)) /* of an earlier socket */
        s5_fd_forget(e, fd);
    if (s5_addr_from_sockaddr(&to, (struct sockaddr *)&own, server->len) < 0)
        return s5_engine_real_connect(e, fd, (struct sockaddr *)&own, server->len);
    int named = s5_names_of(e, &to);
    return named < 0 ? named : s5_tcp_connect(e, fd, &own, server->len, &to, named, cookie);
}

/* --- reads and writes while a negotiation is in flight, and after it failed --- */

/* Returns the error of FD's connect() if it was not fetched yet: the first call that sends or receives reports it, as
 * in the kernel. */
static int fetch_pending_error(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_FAILED)
        return 0;
    if (s5_fd_forget_stale(e, fd))
        return 0;
    int r = s5_complete_result(e, record, fd);
    return r < 0 ? r : 0;
}

int s5_tcp_await(struct s5_engine *e, int fd, int flags, short events)
{
    struct s5_record *record = s5_complete_find(e, fd);
    bool nonblock = flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE);
    if (!record) {
        int r = fetch_pending_error(e, fd);
        return r == 0 && !nonblock ? s5_inflight_await(e, fd, events, events == POLLIN ? S5_RCVTIMEO : S5_SNDTIMEO) : r;
    }
    if (nonblock || s5_tcp_nonblocking(e, fd))
        return s5_complete_step(e, record, 0) >= S5_STEP_DONE ? fetch_pending_error(e, fd) : -EAGAIN;
    int r = s5_tcp_join(e, record, fd);
    return r == -EINPROGRESS ? -EAGAIN : r < 0 ? r : 0;
}
