/* Associations: made, looked after, renewed and closed.
 *
 * The record of the application's descriptor holds the association's number, and its slots too, so
 * that a hook finds it with one load. Whoever opens or renews it has its lock; senders and receivers
 * take none. A fork copies it: each process has the control connection under the same number and
 * looks after it for itself. When one of them renews, it reconnects the kernel's socket, which both
 * share, and the other finds its relay silent or its control connection closed, and does the same:
 * the last one to do so serves both.
 *
 * A control connection that ended means that the relay is gone and with it what was under way: the
 * datagrams in between are lost, as datagrams may be. It is noticed when one is sent (a look at the
 * control connection ten times a second, at most) or by the ICMP error that the relay's port
 * answers with. Where it cannot be renewed at once, datagrams are lost until it can. */
#include "associate.h"
#include "clock.h"
#include "dissolve.h"
#include "error.h"
#include "listener.h"
#include "nameserver.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define LOOK_EVERY   (S5_CLOCK_SECOND / 10)
#define RENEW_WITHIN (3 * S5_CLOCK_SECOND) /* then datagrams are lost for */
#define RENEW_AGAIN  (1 * S5_CLOCK_SECOND)

/* --- the pool --- */

static struct s5_association *pool_of(struct s5_engine *e)
{
    struct s5_association *have = atomic_load(&e->associations);
    size_t size = S5_ASSOCIATIONS * sizeof *have;
    if (have)
        return have;
    int saved = errno;
    void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (fresh == MAP_FAILED)
        return NULL;
    if (atomic_compare_exchange_strong(&e->associations, &have, fresh))
        return fresh;
    munmap(fresh, size);
    return have;
}

static void clear(struct s5_association *a)
{
    atomic_store(&a->lock, 0);
    atomic_store(&a->control, -1);
    atomic_store(&a->owner, 0);
    atomic_store(&a->cache_busy, 0);
    atomic_store(&a->looked, 0);
    atomic_store(&a->again, 0);
    atomic_store(&a->expect, S5_DATAGRAM_IPV4);
    a->mixed = a->corked = false;
    a->next_alias = 0;
    a->local.len = a->peer.len = 0;
    s5_latch_write(&a->relay, &a->local.len, sizeof a->local.len); /* no endpoint */
    for (unsigned i = 0; i < S5_TARGETS; i++)
        a->targets[i].to.len = 0;
    for (unsigned i = 0; i < S5_ALIASES; i++)
        a->aliases[i].asked.kind = S5_ADDR_NONE;
    struct s5_fragments *f = atomic_load(&a->fragments);
    for (unsigned i = 0; f && i < S5_FRAGMENTS_QUEUES; i++)
        f->queues[i].highest = 0;
}

struct s5_association *s5_associate_take(struct s5_engine *e, uint32_t *ret)
{
    struct s5_association *pool = pool_of(e);
    for (uint32_t at = 0; pool && at < S5_ASSOCIATIONS; at++) {
        uint32_t unused = 0;
        if (!atomic_compare_exchange_strong(&pool[at].used, &unused, 1))
            continue;
        uint32_t top = atomic_load(&e->associations_top);
        while (top <= at && !atomic_compare_exchange_weak(&e->associations_top, &top, at + 1))
            ;
        clear(&pool[at]);
        *ret = at;
        return &pool[at];
    }
    return NULL;
}

static void give(struct s5_engine *e, struct s5_association *a)
{
    int control = atomic_exchange(&a->control, -1);
    if (control >= 0)
        s5_hidden_close(e, control);
    atomic_store(&a->used, 0);
}

void s5_associate_end(struct s5_engine *e, uint32_t number)
{
    struct s5_association *pool = atomic_load(&e->associations);
    if (pool && number < S5_ASSOCIATIONS)
        give(e, &pool[number]);
}

int s5_associate_control(const struct s5_engine *e, uint32_t *at)
{
    struct s5_association *pool = atomic_load(&e->associations);
    if (!pool || *at >= atomic_load(&e->associations_top)) {
        *at = S5_ASSOCIATIONS;
        return -1;
    }
    return atomic_load(&pool[*at].used) ? atomic_load(&pool[*at].control) : -1;
}

void s5_associate_moved(struct s5_engine *e, uint32_t at, int control)
{
    atomic_store(&atomic_load(&e->associations)[at].control, control);
}

/* --- the lock --- */

static uint64_t self(const struct s5_engine *e)
{
    return (uint64_t)atomic_load(&e->pid) << 32 | (uint32_t)((uintptr_t)pthread_self() >> 6) | 1;
}

/* False: this very thread has it (a signal handler came in between). A holder of another process is
 * a thread that a fork left behind. */
static bool lock(struct s5_engine *e, struct s5_association *a)
{
    for (;;) {
        uint64_t holder = 0, own = self(e);
        if (atomic_compare_exchange_strong(&a->lock, &holder, own))
            return true;
        if (holder == own)
            return false;
        if (holder >> 32 != own >> 32 && atomic_compare_exchange_strong(&a->lock, &holder, own))
            return true;
        struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
}

static void unlock(struct s5_association *a)
{
    atomic_store(&a->lock, 0);
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
    struct s5_record *record = s5_connect_hold(e, fd);
    if (!record)
        return;
    for (int other; (other = s5_registry_next_dup(&e->registry, fd, &at)) >= 0;)
        if (!s5_connect_record(e, other) && s5_connect_same(e, record, other))
            s5_registry_share(&e->registry, other, record);
    s5_connect_let_go(e, record);
}

/* Connected to the relay, so that the kernel drops what comes from elsewhere. */
static int attach(struct s5_engine *e, struct s5_association *a, int fd)
{
    int r = 0;
    struct s5_endpoint relay = s5_associate_relay(a);
    if (relay.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&relay.v6.sin6_addr))
        r = s5_dissolve_accept_mapped(e, fd);
    if (a->mixed || r < 0)
        return r;
    r = real_connect(e, fd, &relay);
    if (r < 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused: this socket cannot reach the server's relay: %s",
               s5_error_text(r));
    return r == -EINVAL ? -EADDRNOTAVAIL : r;
}

int s5_associate_mix(struct s5_engine *e, struct s5_association *a, int fd)
{
    if (a->mixed || a->peer.len)
        return 0;
    int r = s5_dissolve_keeping_port(e, fd);
    if (r < 0) {
        struct s5_endpoint relay = s5_associate_relay(a);
        real_connect(e, fd, &relay);
        return r;
    }
    a->mixed = true;
    return 0;
}

/* --- opening --- */

static int ask(struct s5_engine *e, struct s5_association *a, uint64_t patience)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    struct s5_endpoint relay;
    static_assert(sizeof relay <= sizeof a->relay.copies[0], "a latch holds it");
    int fd = s5_associate_ask(e, server, a->family, patience, &relay);
    if (fd >= 0) {
        s5_latch_write(&a->relay, &relay, sizeof relay);
        a->control_cookie = s5_connect_cookie(e, fd);
        fd = s5_hidden_take(e, fd);
    }
    pthread_setcancelstate(cancel, NULL);
    return fd;
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

static int open_at(struct s5_engine *e, struct s5_association *a, int fd)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    if (is_corked(e, fd))
        return -EOPNOTSUPP;
    s5_dissolve_name(e, fd, &a->local);
    if (!a->local.len)
        return -ENOTSOCK;
    a->family = a->local.any.sa_family;
    /* An IPv6 socket that was connected once hears nobody else ever after. */
    a->mixed = !a->peer.len && (port_of(&a->local) != 0 || a->family == AF_INET6);
    int control = ask(e, a, server->timeout * S5_CLOCK_SECOND);
    if (control < 0)
        return control;
    atomic_store(&a->control, control);
    atomic_store(&a->looked, s5_clock_now());
    int r = attach(e, a, fd);
    if (r == 0 && !a->mixed)
        drain(e, fd);
    return r;
}

int s5_associate_enter(struct s5_engine *e, int fd, struct s5_record *record, uint64_t cookie, uint32_t number)
{
    record->cookie = cookie;
    record->relayed = (uint16_t)(number + 1);
    atomic_store(&record->state, S5_RECORD_RELAYED);
    return s5_registry_enter(&e->registry, fd, record);
}

static int open_new(struct s5_engine *e, int fd, const struct s5_server *server,
                    const struct s5_endpoint *peer, struct s5_association **ret)
{
    uint32_t number;
    struct s5_association *a = s5_associate_take(e, &number);
    if (!a)
        return -ENOBUFS;
    a->server_index = (uint32_t)(server - e->policy->servers);
    if (peer)
        a->peer = *peer;
    int r = open_at(e, a, fd);
    struct s5_record *record = NULL;
    if (r == 0) {
        if (!s5_registry_foreign(&e->registry, fd))
            s5_connect_forget(e, fd); /* of a life before */
        record = s5_registry_new(&e->registry);
        r = record ? 0 : -ENOBUFS;
    }
    if (r == 0)
        r = s5_associate_enter(e, fd, record, s5_connect_cookie(e, fd), number);
    if (r < 0) {
        give(e, a);
        return r;
    }
    find_duplicates(e, fd);
    *ret = a;
    return 0;
}

/* Two threads that send their first datagram at the same time make one association. */
int s5_associate_open(struct s5_engine *e, int fd, const struct s5_server *server,
                      const struct s5_endpoint *peer, struct s5_association **ret)
{
    uint64_t holder = 0;
    int saved = errno, r = 0;
    while (!atomic_compare_exchange_strong(&e->opening, &holder, self(e))) {
        if (holder == self(e))
            return -EAGAIN; /* a signal handler within one */
        if (holder >> 32 != self(e) >> 32 &&
            atomic_compare_exchange_strong(&e->opening, &holder, self(e)))
            break;
        struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
        holder = 0;
    }
    struct s5_association *a = s5_associate_of(e, fd);
    if (a)
        *ret = a;
    else
        r = open_new(e, fd, server, peer, ret);
    atomic_store(&e->opening, 0);
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
    struct s5_endpoint peer, relay = s5_associate_relay(a);
    socklen_t len = sizeof peer.v6;
    if (a->mixed)
        return true;
    return e->real->getpeername(fd, &peer.any, &len) == 0 && len == relay.len &&
           port_of(&peer) == port_of(&relay);
}

static int renew(struct s5_engine *e, struct s5_association *a, int fd)
{
    uint64_t now = s5_clock_now();
    if (now < atomic_load(&a->again))
        return S5_ASSOCIATE_LOST;
    int control = atomic_exchange(&a->control, -1);
    if (control >= 0)
        s5_hidden_close(e, control);
    s5_log(&e->log, S5_LOG_INFO, "UDP: the association is gone and asked for anew");
    control = ask(e, a, RENEW_WITHIN);
    if (control >= 0) {
        atomic_store(&a->owner, 0);
        atomic_store(&a->control, control);
        return attach(e, a, fd);
    }
    atomic_store(&a->again, s5_clock_now() + RENEW_AGAIN);
    return control == -EACCES || control == -EOPNOTSUPP ? control : S5_ASSOCIATE_LOST;
}

static int look(struct s5_engine *e, struct s5_association *a, int fd, uint64_t now, bool doubt)
{
    int saved = errno, r = 0;
    if (!lock(e, a))
        return S5_ASSOCIATE_LOST;
    if (doubt || now - atomic_load(&a->looked) >= LOOK_EVERY) {
        /* A control connection in another process cannot be looked at: the relay's own word counts. */
        if (!is_alive(e, a) || (doubt && atomic_load(&a->owner)))
            r = renew(e, a, fd);
        else if (!is_attached(e, a, fd))
            r = attach(e, a, fd);
        atomic_store(&a->looked, s5_clock_now());
    }
    unlock(a);
    errno = saved;
    return r;
}

int s5_associate_fresh(struct s5_engine *e, struct s5_association *a, int fd, bool doubt)
{
    uint64_t now = s5_clock_coarse();
    uint64_t looked = atomic_load_explicit(&a->looked, memory_order_relaxed);
    if (!doubt && (now < looked || now - looked < LOOK_EVERY) &&
        (atomic_load_explicit(&a->control, memory_order_relaxed) >= 0 || atomic_load(&a->owner)))
        return 0;
    return look(e, a, fd, now, doubt || (atomic_load(&a->control) < 0 && !atomic_load(&a->owner)));
}

/* --- connect() --- */

/* ADDR is direct: what FD may have at a server ends, so that the kernel's socket is as any other.
 * NAME: what ADDR stands in for, or NULL. */
static int connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name)
{
    struct s5_endpoint at;
    if (s5_associate_of(e, fd))
        s5_connect_forget(e, fd);
    int r = name ? s5_resolve_direct(e, name, addr->sa_family, &at) : 0;
    if (r < 0)
        return r;
    return e->real->connect(fd, name ? &at.any : addr, name ? at.len : len) == 0 ? 0 : -errno;
}

int s5_associate_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct s5_association *a = s5_associate_of(e, fd);
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
    if (s5_nameserver_wanted(e, &to, S5_PROTO_UDP)) { /* of an association no more */
        s5_connect_forget(e, fd);
        return s5_nameserver_connect(e, fd, S5_PROTO_UDP, addr, len);
    }
    if (r == 0)
        return connect_direct(e, fd, addr, len, named ? &to : NULL);
    memcpy(&peer.any, addr, peer.len);
    if (s5_addr_is_loopback(&to)) /* the unspecified address stands for it */
        s5_target_endpoint(&to, addr->sa_family, &peer);
    if (!a)
        return s5_associate_open(e, fd, server, &peer, &a);
    a->peer = peer;
    if (!a->mixed)
        return 0;
    a->mixed = false;
    return attach(e, a, fd);
}
