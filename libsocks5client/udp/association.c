/* Associations: opening, checking, renewal and connect().
 *
 * The record of the application's descriptor holds the number of the association, and so do its slots, so that a hook
 * finds the association with one load. Senders and receivers take no lock.
 *
 * A thread that opens or renews an association marks it busy and waits for the server without a lock. What other
 * threads use of it changes in critical sections only, so that a signal handler may jump out of the call at any point,
 * and a cancelled thread may end there (see blocking.h). During the wait the descriptor's number may become another
 * socket's. Threads therefore work on a duplicate, and the association's generation shows whether it still exists.
 *
 * A fork copies the association. Each process has the control connection under the same number and checks it by itself.
 * A process that renews the association reconnects the kernel's socket, which both processes share. The other process
 * then finds its relay silent or its control connection closed, and renews too. The relay of the last renewal serves
 * both.
 *
 * A control connection that has ended means that the relay is gone. Datagrams in transit are lost, as datagrams may be.
 * The end is noticed when a datagram is sent, by a check of the control connection at most ten times a second, or by
 * the ICMP error of the relay's port. Where the association cannot be renewed at once, datagrams are lost until it
 * can. */
#include "association.h"
#include "association_pool.h"
#include "association_server.h"
#include "blocking.h"
#include "choice.h"
#include "clock.h"
#include "disconnect.h"
#include "dns_answer.h"
#include "dns_client.h"
#include "error.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "internal_fd.h"
#include "record.h"
#include "registry.h"
#include "resolve.h"
#include "result.h"
#include "target.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#define CHECK_INTERVAL (S5_CLOCK_SECOND / 10)
#define RENEW_TIMEOUT  (3 * S5_CLOCK_SECOND) /* on failure, datagrams are lost for RENEW_INTERVAL */
#define RENEW_INTERVAL (1 * S5_CLOCK_SECOND)

/* --- requests by other threads --- */

/* Waits for a moment, until another thread's request may have finished. */
static void pause_shortly(void)
{
    const struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
}

/* --- the kernel's socket --- */

/* Drops what was received before the kernel's socket was connected: it may come from any source. At most 4096
 * datagrams. */
static void drain_socket(struct s5_engine *e, int fd)
{
    char none;
    for (int i = 0; i < 4096; i++)
        if (e->real->recv(fd, &none, 0, MSG_DONTWAIT) < 0)
            return;
}

/* Gives FD's record to duplicates of FD that were made before the socket had a record. */
static void share_with_duplicates(struct s5_engine *e, int fd)
{
    uint32_t at = 0;
    struct s5_record *record = s5_fd_hold_record(e, fd);
    if (!record)
        return;
    for (int other; (other = s5_registry_next_dup(&e->registry, fd, &at)) >= 0;)
        if (!s5_fd_record(e, other) && s5_fd_is_same_socket(e, record, other))
            s5_registry_share(&e->registry, other, record);
    s5_fd_release_record(e, record);
}

/* Connects FD to A's relay, so that the kernel drops datagrams from other sources. A mixed socket is not connected. An
 * IPv6 socket is first made to accept a relay with a mapped IPv4 address. 0 or -errno. */
static int attach_to_relay(struct s5_engine *e, struct s5_association *a, int fd)
{
    int r = 0;
    struct s5_endpoint relay = s5_association_relay(a);
    if (relay.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&relay.v6.sin6_addr))
        r = s5_disconnect_accept_mapped(e, fd);
    if (a->mixed || r < 0)
        return r;
    r = s5_engine_real_connect(e, fd, &relay.any, relay.len);
    if (r < 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused: this socket cannot reach the server's relay: %s", s5_error_text(r));
    return r == -EINVAL ? -EADDRNOTAVAIL : r;
}

int s5_association_mix(struct s5_engine *e, struct s5_association *a, int fd)
{
    if (a->mixed || a->peer.len)
        return 0;
    int r = s5_disconnect_keeping_port(e, fd);
    if (r < 0) {
        struct s5_endpoint relay = s5_association_relay(a);
        s5_engine_real_connect(e, fd, &relay.any, relay.len);
        return r;
    }
    a->mixed = true;
    return 0;
}

/* --- opening --- */

/* Requests A from the servers of its rule, one after another. As s5_association_request(). */
static __attribute__((noinline, cold)) int request_from_any(struct s5_engine *e, struct s5_association *a,
                                                            struct s5_cleanup *call, uint32_t ticket,
                                                            struct s5_endpoint *ret_relay)
{
    const struct s5_server *server;
    int r = -EHOSTUNREACH;
    while ((server = s5_choice_next(e, &a->choice, AF_UNSPEC))) {
        uint64_t until = s5_choice_deadline(e, &a->choice), now = s5_clock_now();
        enum s5_log_level level = a->choice.left ? S5_LOG_WARNING : S5_LOG_ERROR;
        bool down;
        a->server_index = server->index;
        a->server_key = e->server_keys[server->index];
        r = s5_association_request(e, server, a->family, until > now ? until - now : 0, level, call, ticket, ret_relay,
                                   &down);
        if (!s5_cleanup_owns(call, ticket))
            return r;
        s5_choice_note(e, &a->choice, r, down);
        if (r >= 0)
            return r;
    }
    return r;
}

/* Requests A from its server. The connection used becomes an internal descriptor. CALL holds A. 0: a critical section
 * with the lock held has begun, and CALL no longer holds A. -errno, or LOST: A ended meanwhile. */
static int request_association(struct s5_engine *e, struct s5_association *a, uint64_t timeout, struct s5_cleanup *call,
                               uint32_t ticket, struct s5_critical *ret_critical)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    struct s5_endpoint relay;
    bool down;
    static_assert(sizeof relay <= sizeof a->relay.copies[0], "a latch holds it");
    int fd = a->choice.rule
                 ? request_from_any(e, a, call, ticket, &relay)
                 : s5_association_request(e, server, a->family, timeout, S5_LOG_ERROR, call, ticket, &relay, &down);
    if (fd < 0)
        return fd;
    if (!s5_lock_take(&e->associations_lock, ret_critical))
        return -EAGAIN;
    uint64_t cookie = call->cookie[1];
    call->fd[1] = -1;
    fd = s5_internal_fd_take(e, fd);
    bool current = atomic_load(&a->generation) == call->object_generation;
    if (fd < 0 || !current) {
        if (fd >= 0)
            s5_internal_fd_close(e, fd);
        s5_lock_give(&e->associations_lock, ret_critical);
        return fd < 0 ? fd : S5_RESULT_ASSOCIATION_LOST;
    }
    s5_latch_write(&a->relay, &relay, sizeof relay);
    a->control_cookie = cookie;
    atomic_store(&a->owner, 0);
    atomic_store(&a->control, fd);
    atomic_store(&a->looked, s5_clock_now());
    call->object = NULL;
    atomic_store(&a->busy, 0);
    return 0;
}

int s5_association_enter(struct s5_engine *e, int fd, struct s5_record *record, struct s5_association *a)
{
    record->cookie = a->cookie;
    record->relayed = (uint16_t)(a - atomic_load(&e->associations) + 1);
    atomic_store(&record->state, S5_RECORD_RELAYED);
    int r = s5_registry_enter(&e->registry, fd, record);
    if (r == 0)
        atomic_store(&a->opening, false);
    return r;
}

static int add_association_record(struct s5_engine *e, struct s5_association *a, int fd)
{
    if (!s5_registry_foreign(&e->registry, fd))
        s5_fd_forget(e, fd); /* a record of an earlier socket */
    struct s5_record *record = s5_registry_new(&e->registry);
    return record ? s5_association_enter(e, fd, record, a) : -ENOBUFS;
}

/* Gives FD the association A, or releases A. HELD is a descriptor of A's socket. In a critical section. Another thread
 * may close FD before this function, or after its first check. The number may then be another socket's. 0 or -errno. */
static int assign_association(struct s5_engine *e, struct s5_association *a, int fd, int held)
{
    uint64_t cookie = a->cookie;
    int r = s5_fd_cookie(e, fd) == cookie ? attach_to_relay(e, a, held) : -EBADF;
    if (r == 0 && !a->mixed)
        drain_socket(e, held);
    if (r == 0)
        r = add_association_record(e, a, fd);
    if (r < 0) {
        s5_association_free(e, a);
        return r;
    }
    if (s5_fd_cookie(e, fd) != cookie) {
        s5_fd_forget(e, fd);
        s5_disconnect_keeping_port(e, held); /* the socket may have other descriptors */
        return -EBADF;
    }
    share_with_duplicates(e, fd);
    return 0;
}

/* Whether the socket is corked, which is logged. A corked socket makes one datagram of several sends, each of which
 * would have a header. */
static bool is_corked(struct s5_engine *e, int fd)
{
    int corked = 0;
    socklen_t len = sizeof corked;
    if (e->real->getsockopt(fd, IPPROTO_UDP, UDP_CORK, &corked, &len) != 0 || !corked)
        return false;
    s5_log(&e->log, S5_LOG_ERROR, "refused: UDP_CORK is not supported on a socket whose datagrams go to a server");
    return true;
}

/* Requests A, a new association, for FD. HELD is a descriptor of A's socket. CALL holds A. 0 or -errno. */
static int open_new_association(struct s5_engine *e, struct s5_association *a, int fd, int held,
                                struct s5_cleanup *call, uint32_t ticket)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    uint32_t generation = call->object_generation;
    struct s5_critical critical;
    int r = is_corked(e, held) ? -EOPNOTSUPP : 0;
    if (r == 0) {
        s5_disconnect_own_address(e, held, &a->local);
        r = a->local.len ? 0 : -ENOTSOCK;
    }
    if (r == 0) {
        a->family = a->local.any.sa_family;
        /* An IPv6 socket that was connected once never receives from other sources again. */
        a->mixed = !a->peer.len && (s5_endpoint_port(&a->local.any) != 0 || a->family == AF_INET6);
        r = request_association(e, a, server->timeout * S5_CLOCK_SECOND, call, ticket, &critical);
    }
    if (r < 0) {
        if (s5_cleanup_owns(call, ticket))
            s5_association_abandon(e, a, generation);
        return r == S5_RESULT_ASSOCIATION_LOST ? -EBADF : r;
    }
    r = assign_association(e, a, fd, held);
    s5_lock_give(&e->associations_lock, &critical);
    return r;
}

enum claim { FOUND, CLAIMED, WAIT };

/* Finds or claims the association of the socket COOKIE, which FD names. FOUND: it exists. CLAIMED: the calling thread
 * is to open it, and CALL holds it. WAIT: another thread is opening it. Else -errno. Under the lock. */
static int claim_association(struct s5_engine *e, int fd, uint64_t cookie, struct s5_cleanup *call,
                             struct s5_association **ret)
{
    struct s5_association *pool = atomic_load(&e->associations), *a = s5_association_of(e, fd);
    uint32_t number;
    if (a && a->cookie == cookie) {
        *ret = a;
        return FOUND;
    }
    for (uint32_t at = 0; pool && cookie && at < atomic_load(&e->associations_top); at++)
        if (atomic_load(&pool[at].used) && atomic_load(&pool[at].opening) && pool[at].cookie == cookie)
            /* The calling thread is opening it: this is a signal handler within that call. */
            return atomic_load(&pool[at].busy) == s5_thread_token() ? -EAGAIN : WAIT;
    *ret = s5_association_take(e, cookie, &number);
    if (!*ret)
        return -ENOBUFS;
    s5_association_begin_request(*ret, call);
    return CLAIMED;
}

/* Two threads that send the first datagram on a socket at the same time open one association. 0 or -errno. */
static int find_or_open_association(struct s5_engine *e, int fd, int held, const struct s5_server *server,
                                    const struct s5_choice *choice, const struct s5_endpoint *peer,
                                    struct s5_cleanup *call, uint32_t ticket, struct s5_association **ret)
{
    uint64_t cookie = call->cookie[0];
    for (;;) {
        struct s5_critical critical;
        if (!s5_lock_take(&e->associations_lock, &critical))
            return -EAGAIN;
        int r = claim_association(e, fd, cookie, call, ret);
        s5_lock_give(&e->associations_lock, &critical);
        if (r == CLAIMED) {
            (*ret)->server_index = server->index;
            (*ret)->server_key = e->server_keys[server->index];
            (*ret)->policy_generation = s5_policy_file_of(s5_server_policy(server))->generation;
            (*ret)->choice = *choice;
            if (peer)
                (*ret)->peer = *peer;
            return open_new_association(e, *ret, fd, held, call, ticket);
        }
        if (r != WAIT)
            return r;
        pause_shortly();
        if (!s5_cleanup_owns(call, ticket))
            return -EAGAIN;
        if (s5_fd_cookie(e, fd) != cookie)
            return -EBADF;
    }
}

int s5_association_open(struct s5_engine *e, int fd, int route, const struct s5_server *server,
                        const struct s5_addr *to, const struct s5_endpoint *peer, struct s5_association **ret)
{
    struct s5_choice choice = {.rule = 0};
    uint32_t ticket;
    int saved = errno;
    if (route > 1)
        s5_choice_begin(e, &choice, s5_server_policy(server), (unsigned)route - 2, to);
    struct s5_cleanup *call = s5_cleanup_push(s5_association_release_call, e, (uintptr_t)&ticket, &ticket);
    int held = s5_blocking_hold(e, call, fd, s5_fd_cookie(e, fd));
    int r = find_or_open_association(e, fd, held, server, &choice, peer, call, ticket, ret);
    s5_blocking_end(e, call, ticket, fd, held);
    errno = saved;
    return r;
}

/* --- checking and renewal --- */

static bool has_live_control(struct s5_engine *e, struct s5_association *a)
{
    char octet;
    int control = atomic_load(&a->control);
    uint32_t owner = atomic_load(&a->owner);
    if (control < 0)
        return owner && !s5_engine_has_ended(e, owner);
    ssize_t n = e->real->recv(control, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool s5_association_waits(struct s5_engine *e, int fd)
{
    struct s5_association *a = s5_association_of(e, fd);
    int saved = errno;
    bool waits = !a || atomic_load(&a->busy) || !has_live_control(e, a);
    errno = saved;
    return waits;
}

/* Whether the kernel's socket is connected to A's relay. Another process may have renewed the association. */
static bool is_attached(struct s5_engine *e, struct s5_association *a, int fd)
{
    struct s5_endpoint peer, relay = s5_association_relay(a);
    socklen_t len = sizeof peer.v6;
    if (a->mixed)
        return true;
    return e->real->getpeername(fd, &peer.any, &len) == 0 && len == relay.len &&
           s5_endpoint_port(&peer.any) == s5_endpoint_port(&relay.any);
}

/* Whether the calling thread is to renew A. FOUND: no, the control connection is alive. CLAIMED: yes, and CALL holds A.
 * WAIT: another thread is renewing A. LOST: not now, or this is a signal handler within the renewal. NEEDS_CHECK: the
 * control connection is in another process, and A is renewed without a look at it. Under the lock. */
static int begin_renewal(struct s5_engine *e, struct s5_association *a, bool needs_check, struct s5_cleanup *call)
{
    uint64_t busy = atomic_load(&a->busy);
    if (busy)
        return busy == s5_thread_token() ? S5_RESULT_ASSOCIATION_LOST : WAIT;
    if (!needs_check && has_live_control(e, a))
        return FOUND;
    if (s5_clock_now() < atomic_load(&a->again))
        return S5_RESULT_ASSOCIATION_LOST;
    int control = atomic_exchange(&a->control, -1);
    if (control >= 0)
        s5_internal_fd_close(e, control);
    s5_association_begin_request(a, call);
    return CLAIMED;
}

/* Whether the index of A's server is that of another server, after reloads. */
static bool has_lost_server(const struct s5_engine *e, const struct s5_association *a)
{
    return a->server_key && a->server_key != e->server_keys[a->server_index];
}

static int renew_association(struct s5_engine *e, struct s5_association *a, int held, struct s5_cleanup *call,
                             uint32_t ticket)
{
    struct s5_critical critical;
    uint32_t generation = call->object_generation;
    s5_log(&e->log, S5_LOG_INFO, "UDP association lost; re-establishing");
    s5_choice_repeat(&a->choice, RENEW_TIMEOUT);
    int r = has_lost_server(e, a) ? -EHOSTUNREACH : request_association(e, a, RENEW_TIMEOUT, call, ticket, &critical);
    if (r == 0) {
        r = s5_fd_cookie(e, held) == a->cookie ? attach_to_relay(e, a, held) : S5_RESULT_ASSOCIATION_LOST;
        s5_lock_give(&e->associations_lock, &critical);
        return r;
    }
    if (!s5_cleanup_owns(call, ticket))
        return S5_RESULT_ASSOCIATION_LOST;
    if (atomic_load(&a->generation) == generation)
        atomic_store(&a->again, s5_clock_now() + RENEW_INTERVAL);
    s5_association_abandon(e, a, generation);
    return r == -EACCES || r == -EOPNOTSUPP ? r : S5_RESULT_ASSOCIATION_LOST;
}

/* Renews A where its control connection has ended, and connects the socket to its relay where it is not. FD must still
 * have A, of GENERATION. 0, LOST or -errno. */
static int check_and_renew(struct s5_engine *e, struct s5_association *a, uint32_t generation, int fd, int held,
                           bool needs_check, struct s5_cleanup *call, uint32_t ticket)
{
    for (;;) {
        struct s5_critical critical;
        int r = S5_RESULT_ASSOCIATION_LOST;
        if (!s5_lock_take(&e->associations_lock, &critical))
            return r;
        /* Otherwise FD names another socket now. */
        if (s5_association_is(e, fd, a, generation) && s5_fd_cookie(e, held) == a->cookie)
            r = begin_renewal(e, a, needs_check, call);
        if (r == FOUND && !is_attached(e, a, held))
            r = attach_to_relay(e, a, held);
        s5_lock_give(&e->associations_lock, &critical);
        if (r == CLAIMED)
            return renew_association(e, a, held, call, ticket);
        if (r != WAIT)
            return r;
        pause_shortly();
        if (!s5_cleanup_owns(call, ticket))
            return S5_RESULT_ASSOCIATION_LOST;
    }
}

static int check_association(struct s5_engine *e, struct s5_association *a, int fd, bool needs_check)
{
    int saved = errno, r = 0;
    uint32_t ticket, generation = atomic_load(&a->generation);
    if (!s5_association_is(e, fd, a, generation))
        return S5_RESULT_ASSOCIATION_LOST;
    /* A control connection in another process cannot be checked. An error reported for the relay decides instead. */
    needs_check = needs_check && atomic_load(&a->owner);
    if (atomic_load(&a->control) < 0 && !atomic_load(&a->busy) && !atomic_load(&a->owner) &&
        s5_clock_now() < atomic_load(&a->again))
        return S5_RESULT_ASSOCIATION_LOST;
    if (needs_check || !has_live_control(e, a) || !is_attached(e, a, fd)) {
        struct s5_cleanup *call = s5_cleanup_push(s5_association_release_call, e, (uintptr_t)&ticket, &ticket);
        int held = s5_blocking_hold(e, call, fd, a->cookie);
        r = check_and_renew(e, a, generation, fd, held, needs_check, call, ticket);
        s5_blocking_end(e, call, ticket, fd, held);
    }
    if (s5_association_is(e, fd, a, generation))
        atomic_store(&a->looked, s5_clock_now());
    errno = saved;
    return r;
}

int s5_association_fresh(struct s5_engine *e, struct s5_association *a, int fd, bool needs_check)
{
    uint64_t now = s5_clock_coarse();
    uint64_t looked = atomic_load_explicit(&a->looked, memory_order_relaxed);
    if (!needs_check && (now < looked || now - looked < CHECK_INTERVAL) &&
        (atomic_load_explicit(&a->control, memory_order_relaxed) >= 0 || atomic_load(&a->owner)))
        return 0;
    return check_association(e, a, fd, needs_check);
}

/* --- connect() --- */

/* Connects FD to ADDR directly. An association of FD ends, so that the kernel's socket is like any other. NAME: the
 * name that ADDR is the fake address of, or NULL. 0 or -errno. */
static int connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name)
{
    struct s5_endpoint at;
    if (s5_association_of(e, fd))
        s5_fd_forget(e, fd);
    int r = name ? s5_resolve_direct(e, name, addr->sa_family, &at) : 0;
    if (r < 0)
        return r;
    return s5_engine_real_connect(e, fd, name ? &at.any : addr, name ? at.len : len);
}

int s5_association_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct s5_association *a = s5_association_of(e, fd);
    const struct s5_server *server = NULL;
    struct s5_endpoint peer = {.len = len < sizeof peer.v6 ? len : sizeof peer.v6};
    struct s5_addr to;
    bool named;
    if (a && addr->sa_family == AF_UNSPEC) {
        a->peer.len = 0;
        return 0;
    }
    if (!s5_target_address(addr, len, &to))
        return s5_engine_real_connect(e, fd, addr, len);
    if (a && a->family == AF_INET && addr->sa_family == AF_INET6)
        return -EAFNOSUPPORT;
    int r = s5_target_route(e, &to, &server, &named);
    if (r < 0)
        return r;
    if (s5_dns_answer_is_ours(e, &to, S5_PROTO_UDP)) { /* no association any more */
        s5_fd_forget(e, fd);
        return s5_dns_client_connect(e, fd, S5_PROTO_UDP, addr, len);
    }
    if (r == 0)
        return connect_direct(e, fd, addr, len, named ? &to : NULL);
    memcpy(&peer.any, addr, peer.len);
    if (s5_addr_is_loopback(&to)) /* the unspecified address means loopback */
        s5_endpoint_of(&to, addr->sa_family, &peer);
    if (!a)
        return s5_association_open(e, fd, r, server, &to, &peer, &a);
    a->peer = peer;
    if (!a->mixed)
        return 0;
    a->mixed = false;
    return attach_to_relay(e, a, fd);
}
