/* Associations: made, looked after, renewed and closed.
 *
 * The record of the application's descriptor holds the association's number, and its slots too, so that a hook finds
 * it with one load. Senders and receivers take no lock. Whoever opens or renews it marks it busy and waits for the
 * server without a lock; what others need of it is changed in critical sections alone, so that a signal handler may
 * leave the call at any point, and a cancelled thread may end there (see blocking.h). While it waits the descriptor's
 * number may become another socket's: threads work on a duplicate, and the association's generation tells when it is
 * no more. A fork copies it: each process has the control connection under the same number and looks after it for
 * itself. When one of them renews, it reconnects the kernel's socket, which both share, and the other finds its relay
 * silent or its control connection closed, and does the same: the last one to do so serves both.
 *
 * A control connection that ended means that the relay is gone and with it what was under way: the datagrams in
 * between are lost, as datagrams may be. It is noticed when one is sent (a look at the control connection ten times a
 * second, at most) or by the ICMP error that the relay's port answers with. Where it cannot be renewed at once,
 * datagrams are lost until it can. */
#include "association.h"
#include "association_pool.h"
#include "association_server.h"
#include "blocking.h"
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
#include "target.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY   (S5_CLOCK_SECOND / 10)
#define RENEW_WITHIN (3 * S5_CLOCK_SECOND) /* then datagrams are lost for */
#define RENEW_AGAIN  (1 * S5_CLOCK_SECOND)

/* --- who asks the server --- */

/* Until whoever is at it has asked. */
static void pause_shortly(void)
{
    const struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
}

/* --- the kernel's socket --- */

static int real_connect(struct s5_engine *e, int fd, const struct s5_endpoint *to)
{
    return e->real->connect(fd, &to->any, to->len) == 0 ? 0 : -errno;
}

static uint16_t port_of(const struct s5_endpoint *at)
{
    return at->any.sa_family == AF_INET ? at->v4.sin_port : at->v6.sin6_port;
}

/* What came before the kernel's socket was connected is nobody's we know. */
static void drain(struct s5_engine *e, int fd)
{
    char none;
    for (int i = 0; i < 4096; i++)
        if (e->real->recv(fd, &none, 0, MSG_DONTWAIT) < 0)
            return;
}

/* Duplicates made before the socket was ours name the same record. */
static void find_duplicates(struct s5_engine *e, int fd)
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

/* Connected to the relay, so that the kernel drops what comes from elsewhere. */
static int attach(struct s5_engine *e, struct s5_association *a, int fd)
{
    int r = 0;
    struct s5_endpoint relay = s5_association_relay(a);
    if (relay.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&relay.v6.sin6_addr))
        r = s5_disconnect_accept_mapped(e, fd);
    if (a->mixed || r < 0)
        return r;
    r = real_connect(e, fd, &relay);
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
        real_connect(e, fd, &relay);
        return r;
    }
    a->mixed = true;
    return 0;
}

/* --- opening --- */

/* The server is asked for A; the connection it was asked on is hidden. CALL holds A. In a critical section with
 * the lock when it returns 0; A is CALL's no more then. -errno, or LOST: A is none any more. */
static int ask(struct s5_engine *e, struct s5_association *a, uint64_t timeout, struct s5_cleanup *call,
               uint32_t ticket, struct s5_critical *ret_critical)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    struct s5_endpoint relay;
    static_assert(sizeof relay <= sizeof a->relay.copies[0], "a latch holds it");
    int fd = s5_association_ask(e, server, a->family, timeout, call, ticket, &relay);
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
        return fd < 0 ? fd : S5_ASSOCIATION_LOST;
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

static int add_record(struct s5_engine *e, struct s5_association *a, int fd)
{
    if (!s5_registry_foreign(&e->registry, fd))
        s5_fd_forget(e, fd); /* of a life before */
    struct s5_record *record = s5_registry_new(&e->registry);
    return record ? s5_association_enter(e, fd, record, a) : -ENOBUFS;
}

/* FD gets the association A, whose socket is HELD, or A is given back. In a critical section. Another thread may
 * close FD before, and after the first look: then the number may be another socket's. */
static int list_add(struct s5_engine *e, struct s5_association *a, int fd, int held)
{
    uint64_t cookie = a->cookie;
    int r = s5_fd_cookie(e, fd) == cookie ? attach(e, a, held) : -EBADF;
    if (r == 0 && !a->mixed)
        drain(e, held);
    if (r == 0)
        r = add_record(e, a, fd);
    if (r < 0) {
        s5_association_give(e, a);
        return r;
    }
    if (s5_fd_cookie(e, fd) != cookie) {
        s5_fd_forget(e, fd);
        s5_disconnect_keeping_port(e, held); /* it may have other descriptors */
        return -EBADF;
    }
    find_duplicates(e, fd);
    return 0;
}

/* A corked socket makes one datagram of several that have a header each. */
static bool is_corked(struct s5_engine *e, int fd)
{
    int corked = 0;
    socklen_t len = sizeof corked;
    if (e->real->getsockopt(fd, IPPROTO_UDP, UDP_CORK, &corked, &len) != 0 || !corked)
        return false;
    s5_log(&e->log, S5_LOG_ERROR, "refused: UDP_CORK is set on a socket whose datagrams go to a server");
    return true;
}

/* The calling thread asks for A, which is fresh, on behalf of HELD. */
static int open_new(struct s5_engine *e, struct s5_association *a, int fd, int held, struct s5_cleanup *call,
                    uint32_t ticket)
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
        /* An IPv6 socket that was connected once hears nobody else ever after. */
        a->mixed = !a->peer.len && (port_of(&a->local) != 0 || a->family == AF_INET6);
        r = ask(e, a, server->timeout * S5_CLOCK_SECOND, call, ticket, &critical);
    }
    if (r < 0) {
        if (s5_cleanup_owns(call, ticket))
            s5_association_abandon(e, a, generation);
        return r == S5_ASSOCIATION_LOST ? -EBADF : r;
    }
    r = list_add(e, a, fd, held);
    s5_lock_give(&e->associations_lock, &critical);
    return r;
}

enum claim { FOUND, CLAIMED, WAIT };

/* The association of the socket COOKIE, which FD names: there is one; it is the calling thread's to open, as
 * CALL holds it; or another thread opens it. -errno. */
static int claim(struct s5_engine *e, int fd, uint64_t cookie, struct s5_cleanup *call, struct s5_association **ret)
{
    struct s5_association *pool = atomic_load(&e->associations), *a = s5_association_of(e, fd);
    uint32_t number;
    if (a && a->cookie == cookie) {
        *ret = a;
        return FOUND;
    }
    for (uint32_t at = 0; pool && cookie && at < atomic_load(&e->associations_top); at++)
        if (atomic_load(&pool[at].used) && atomic_load(&pool[at].opening) && pool[at].cookie == cookie)
            /* The thread's own: this is a signal handler within its call. */
            return atomic_load(&pool[at].busy) == s5_thread_token() ? -EAGAIN : WAIT;
    *ret = s5_association_take(e, cookie, &number);
    if (!*ret)
        return -ENOBUFS;
    s5_association_begin_asking(*ret, call);
    return CLAIMED;
}

/* Two threads that send their first datagram on a socket at the same time make one association. */
static int open_or_find(struct s5_engine *e, int fd, int held, const struct s5_server *server,
                        const struct s5_endpoint *peer, struct s5_cleanup *call, uint32_t ticket,
                        struct s5_association **ret)
{
    uint64_t cookie = call->cookie[0];
    for (;;) {
        struct s5_critical critical;
        if (!s5_lock_take(&e->associations_lock, &critical))
            return -EAGAIN;
        int r = claim(e, fd, cookie, call, ret);
        s5_lock_give(&e->associations_lock, &critical);
        if (r == CLAIMED) {
            (*ret)->server_index = (uint32_t)(server - e->policy->servers);
            if (peer)
                (*ret)->peer = *peer;
            return open_new(e, *ret, fd, held, call, ticket);
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

int s5_association_open(struct s5_engine *e, int fd, const struct s5_server *server, const struct s5_endpoint *peer,
                        struct s5_association **ret)
{
    uint32_t ticket;
    int saved = errno;
    struct s5_cleanup *call = s5_cleanup_push(s5_association_release_call, e, (uintptr_t)&ticket, &ticket);
    int held = s5_blocking_hold(e, call, fd, s5_fd_cookie(e, fd));
    int r = open_or_find(e, fd, held, server, peer, call, ticket, ret);
    s5_blocking_end(e, call, ticket, fd, held);
    errno = saved;
    return r;
}

/* --- looking after it --- */

static bool is_alive(struct s5_engine *e, struct s5_association *a)
{
    char octet;
    int control = atomic_load(&a->control);
    uint32_t owner = atomic_load(&a->owner);
    if (control < 0)
        return owner && !s5_engine_has_ended(e, owner);
    ssize_t n = e->real->recv(control, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Whether the kernel's socket is connected to A's own relay: another process may have renewed. */
static bool is_attached(struct s5_engine *e, struct s5_association *a, int fd)
{
    struct s5_endpoint peer, relay = s5_association_relay(a);
    socklen_t len = sizeof peer.v6;
    if (a->mixed)
        return true;
    return e->real->getpeername(fd, &peer.any, &len) == 0 && len == relay.len && port_of(&peer) == port_of(&relay);
}

/* A has lost its control connection, or, where that is in another process, there is DOUBT: whether the calling thread
 * is to ask for another, as CALL then holds A. 0: no; WAIT: another thread is at it. Under the lock. */
static int begin_renewal(struct s5_engine *e, struct s5_association *a, bool needs_check, struct s5_cleanup *call)
{
    uint64_t busy = atomic_load(&a->busy);
    if (busy)
        return busy == s5_thread_token() ? S5_ASSOCIATION_LOST : WAIT;
    if (!needs_check && is_alive(e, a))
        return FOUND;
    if (s5_clock_now() < atomic_load(&a->again))
        return S5_ASSOCIATION_LOST;
    int control = atomic_exchange(&a->control, -1);
    if (control >= 0)
        s5_internal_fd_close(e, control);
    s5_association_begin_asking(a, call);
    return CLAIMED;
}

static int renew(struct s5_engine *e, struct s5_association *a, int held, struct s5_cleanup *call, uint32_t ticket)
{
    struct s5_critical critical;
    uint32_t generation = call->object_generation;
    s5_log(&e->log, S5_LOG_INFO, "UDP: the association is gone and asked for anew");
    int r = ask(e, a, RENEW_WITHIN, call, ticket, &critical);
    if (r == 0) {
        r = s5_fd_cookie(e, held) == a->cookie ? attach(e, a, held) : S5_ASSOCIATION_LOST;
        s5_lock_give(&e->associations_lock, &critical);
        return r;
    }
    if (!s5_cleanup_owns(call, ticket))
        return S5_ASSOCIATION_LOST;
    if (atomic_load(&a->generation) == generation)
        atomic_store(&a->again, s5_clock_now() + RENEW_AGAIN);
    s5_association_abandon(e, a, generation);
    return r == -EACCES || r == -EOPNOTSUPP ? r : S5_ASSOCIATION_LOST;
}

/* FD's association is A still, which is found alive and attached to, or renewed. */
static int look_after(struct s5_engine *e, struct s5_association *a, uint32_t generation, int fd, int held,
                      bool needs_check, struct s5_cleanup *call, uint32_t ticket)
{
    for (;;) {
        struct s5_critical critical;
        int r = S5_ASSOCIATION_LOST;
        if (!s5_lock_take(&e->associations_lock, &critical))
            return r;
        /* What FD names now is another's where this is not so. */
        if (s5_association_is(e, fd, a, generation) && s5_fd_cookie(e, held) == a->cookie)
            r = begin_renewal(e, a, needs_check, call);
        if (r == FOUND && !is_attached(e, a, held))
            r = attach(e, a, held);
        s5_lock_give(&e->associations_lock, &critical);
        if (r == CLAIMED)
            return renew(e, a, held, call, ticket);
        if (r != WAIT)
            return r;
        pause_shortly();
        if (!s5_cleanup_owns(call, ticket))
            return S5_ASSOCIATION_LOST;
    }
}

static int look(struct s5_engine *e, struct s5_association *a, int fd, bool needs_check)
{
    int saved = errno, r = 0;
    uint32_t ticket, generation = atomic_load(&a->generation);
    if (!s5_association_is(e, fd, a, generation))
        return S5_ASSOCIATION_LOST;
    /* A control connection in another process cannot be looked at: the relay's own word counts. */
    needs_check = needs_check && atomic_load(&a->owner);
    if (atomic_load(&a->control) < 0 && !atomic_load(&a->busy) && !atomic_load(&a->owner) &&
        s5_clock_now() < atomic_load(&a->again))
        return S5_ASSOCIATION_LOST;
    if (needs_check || !is_alive(e, a) || !is_attached(e, a, fd)) {
        struct s5_cleanup *call = s5_cleanup_push(s5_association_release_call, e, (uintptr_t)&ticket, &ticket);
        int held = s5_blocking_hold(e, call, fd, a->cookie);
        r = look_after(e, a, generation, fd, held, needs_check, call, ticket);
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
    if (!needs_check && (now < looked || now - looked < LOOK_EVERY) &&
        (atomic_load_explicit(&a->control, memory_order_relaxed) >= 0 || atomic_load(&a->owner)))
        return 0;
    return look(e, a, fd, needs_check);
}

/* --- connect() --- */

/* ADDR is direct: what FD may have at a server ends, so that the kernel's socket is as any other.
 * NAME: what ADDR stands in for, or NULL. */
static int connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name)
{
    struct s5_endpoint at;
    if (s5_association_of(e, fd))
        s5_fd_forget(e, fd);
    int r = name ? s5_resolve_direct(e, name, addr->sa_family, &at) : 0;
    if (r < 0)
        return r;
    return e->real->connect(fd, name ? &at.any : addr, name ? at.len : len) == 0 ? 0 : -errno;
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
        return e->real->connect(fd, addr, len) == 0 ? 0 : -errno;
    if (a && a->family == AF_INET && addr->sa_family == AF_INET6)
        return -EAFNOSUPPORT;
    int r = s5_target_route(e, &to, &server, &named);
    if (r < 0)
        return r;
    if (s5_dns_answer_is_ours(e, &to, S5_PROTO_UDP)) { /* of an association no more */
        s5_fd_forget(e, fd);
        return s5_dns_client_connect(e, fd, S5_PROTO_UDP, addr, len);
    }
    if (r == 0)
        return connect_direct(e, fd, addr, len, named ? &to : NULL);
    memcpy(&peer.any, addr, peer.len);
    if (s5_addr_is_loopback(&to)) /* the unspecified address stands for it */
        s5_target_endpoint(&to, addr->sa_family, &peer);
    if (!a)
        return s5_association_open(e, fd, server, &peer, &a);
    a->peer = peer;
    if (!a->mixed)
        return 0;
    a->mixed = false;
    return attach(e, a, fd);
}
