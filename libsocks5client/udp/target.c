/* Where datagrams go and come from. The rules are evaluated once for a destination, and the header of its datagrams is
 * cached.
 *
 * A destination that is a fake address is sent as its name. The relay reports the address that it found for the name.
 * The name is then found by the address reported for it before, or else by the port: the name sent last with that port
 * for which nothing was reported yet. */
#include "target.h"
#include "association.h"
#include "cleanup.h"
#include "dns_answer.h"
#include "names.h"
#include "route.h"
#include "wire.h"
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

bool s5_target_address(const struct sockaddr *sa, socklen_t len, struct s5_addr *ret)
{
    struct sockaddr_storage whole;
    if (!sa || len < sizeof sa->sa_family || len > sizeof whole)
        return false;
    memset(&whole, 0, sizeof(struct sockaddr_in6));
    memcpy(&whole, sa, len);
    if (whole.ss_family == AF_UNSPEC)
        whole.ss_family = AF_INET;
    if (whole.ss_family == AF_INET6 && len >= 24 && len < sizeof(struct sockaddr_in6))
        len = sizeof(struct sockaddr_in6);
    return s5_addr_from_sockaddr(ret, (struct sockaddr *)&whole, len) == 0;
}

int s5_target_route(struct s5_engine *e, struct s5_addr *to, const struct s5_server **ret_server, bool *ret_named)
{
    *ret_named = false;
    if (e->in_namespace) /* the gateway makes the association */
        return 0;
    int named = s5_names_of(e, to);
    if (named < 0)
        return named;
    *ret_named = named > 0;
    if (s5_addr_is_multicast(to)) /* multicast is local by nature */
        return s5_route_direct_only(e, to, S5_PROTO_UDP, S5_CMD_UDP, "multicast");
    int r = s5_route(e, to, S5_PROTO_UDP, S5_CMD_UDP, ret_server);
    if (r > 0 && s5_addr_is_unspecified(to))
        s5_addr_become_loopback(to);
    return r;
}

/* --- the cache of destinations --- */

/* The lock of the cache. It is held for copying only, and taken for every datagram, so signals are not blocked for it.
 * A caller that finds it taken does without the cache. The lock identifies its holder by the thread and by the depth of
 * its stack. A handler that interrupts the holder finds a stack that is less deep than its own. Otherwise the holder
 * was left by siglongjmp(): that part of the stack no longer exists. */

#define DEPTH_BITS 23 /* in units of 128 octets: a gigabyte of stack */
#define DEPTH_MASK ((1u << DEPTH_BITS) - 1)

static inline uint64_t get_own_holder(void)
{
    char here;
    return (uint64_t)((uintptr_t)pthread_self() >> 6) << DEPTH_BITS | ((uint32_t)((uintptr_t)&here >> 7) & DEPTH_MASK);
}

void s5_target_forget(struct s5_association *a)
{
    for (unsigned i = 0; i < S5_TARGETS; i++)
        a->targets[i].to.len = 0;
    for (unsigned i = 0; i < S5_ALIASES; i++)
        a->aliases[i].asked.kind = S5_ADDR_NONE;
    struct s5_fragments *f = atomic_load(&a->fragments);
    for (unsigned i = 0; f && i < S5_FRAGMENTS_QUEUES; i++)
        f->queues[i].highest = 0;
}

/* HOLDER has the lock; OWN is the caller's value. Where HOLDER is a call of this thread that was left, the lock is
 * taken over. The cache may be half written, and is cleared. Whether the caller has the lock. */
static __attribute__((noinline, cold)) bool take_over_lock(struct s5_association *a, uint64_t holder, uint64_t own)
{
    uint32_t above = ((uint32_t)own - (uint32_t)holder + 1) & DEPTH_MASK;
    if (holder >> DEPTH_BITS != own >> DEPTH_BITS || above > DEPTH_MASK / 2 || s5_cleanup_on_other_stack() ||
        !atomic_compare_exchange_strong(&a->cache_busy, &holder, own))
        return false;
    s5_target_forget(a);
    return true;
}

static inline bool try_lock(struct s5_association *a)
{
    uint64_t holder = 0, own = get_own_holder();
    return __builtin_expect(atomic_compare_exchange_strong_explicit(&a->cache_busy, &holder, own, memory_order_acquire,
                                                                    memory_order_relaxed),
                            1) ||
           take_over_lock(a, holder, own);
}

bool s5_target_lock(struct s5_association *a)
{
    for (int i = 0; i < 1000; i++) {
        if (try_lock(a))
            return true;
        if (i > 100)
            sched_yield();
    }
    return false; /* this is a signal handler within one of these functions */
}

void s5_target_unlock(struct s5_association *a)
{
    atomic_store_explicit(&a->cache_busy, 0, memory_order_release);
}

void s5_target_fork_child(struct s5_association *a)
{
    uint64_t holder = atomic_load(&a->cache_busy);
    if (!holder || holder >> DEPTH_BITS == get_own_holder() >> DEPTH_BITS)
        return;
    s5_target_forget(a);
    s5_target_unlock(a);
}

static bool is_same_endpoint(const struct s5_endpoint *a, const struct sockaddr *sa, socklen_t len)
{
    if (a->len < 8 || len < 8 || a->any.sa_family != sa->sa_family)
        return false;
    if (sa->sa_family == AF_INET) /* family, port, address */
        return memcmp(&a->v4, sa, 8) == 0;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
    return sa->sa_family == AF_INET6 && len >= sizeof *v6 && a->len >= sizeof *v6 && a->v6.sin6_port == v6->sin6_port &&
           a->v6.sin6_scope_id == v6->sin6_scope_id &&
           memcmp(&a->v6.sin6_addr, &v6->sin6_addr, sizeof v6->sin6_addr) == 0;
}

/* The place of a destination is computed from the last octets of its port and of its address. A header contains both
 * too. */
static struct s5_target *get_place(struct s5_association *a, uint8_t port, uint8_t address)
{
    return &a->targets[(unsigned)(port + address) % S5_TARGETS];
}

static struct s5_target *find_place(struct s5_association *a, const struct sockaddr *sa, socklen_t len)
{
    const uint8_t *octets = (const uint8_t *)sa;
    bool v6 = sa->sa_family == AF_INET6 && len >= 24;
    return get_place(a, octets[3], octets[v6 ? 23 : 7]);
}

static void copy_heading(struct s5_heading *ret, const struct s5_heading *from)
{
    ret->direct = from->direct;
    ret->len = from->len;
    if (from->len == S5_UDP_HEADER_IPV4)
        memcpy(ret->octets, from->octets, S5_UDP_HEADER_IPV4);
    else
        memcpy(ret->octets, from->octets, from->len);
}

static bool read_cached_heading(struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                                struct s5_heading *ret)
{
    struct s5_target *t = find_place(a, sa, len);
    if (!try_lock(a))
        return false;
    bool found = is_same_endpoint(&t->to, sa, len);
    if (found)
        copy_heading(ret, &t->heading);
    s5_target_unlock(a);
    return found;
}

size_t s5_target_recall(struct s5_association *a, const struct sockaddr *sa, socklen_t len, uint8_t *octets)
{
    if (len < 8)
        return 0;
    const struct s5_target *t = find_place(a, sa, len);
    if (!try_lock(a))
        return 0;
    size_t n = is_same_endpoint(&t->to, sa, len) ? t->heading.len : 0;
    if (n == S5_UDP_HEADER_IPV4)
        memcpy(octets, t->heading.octets, S5_UDP_HEADER_IPV4);
    else if (n)
        memcpy(octets, t->heading.octets, n);
    s5_target_unlock(a);
    return n;
}

/* Adds a destination to the cache. ASKED was sent as NAME; both NULL: the address was sent as it is. */
static void cache_heading(struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                          const struct s5_heading *heading, const struct s5_addr *asked, const struct s5_addr *name)
{
    struct s5_target *t = find_place(a, sa, len);
    if (!s5_target_lock(a))
        return;
    if (len <= sizeof t->to.v6) {
        t->to.len = len;
        memcpy(&t->to.any, sa, len);
        copy_heading(&t->heading, heading);
    }
    bool known = !asked;
    for (unsigned i = 0; i < S5_ALIASES && !known; i++)
        known = s5_addr_equal(&a->aliases[i].asked, asked);
    if (!known) {
        struct s5_alias *to = &a->aliases[a->next_alias++ % S5_ALIASES];
        to->asked = *asked;
        to->name = *name;
        to->reported.kind = S5_ADDR_NONE;
    }
    s5_target_unlock(a);
}

/* --- to a destination --- */

static int refuse_other_server(struct s5_engine *e, const struct s5_addr *to)
{
    char text[S5_ADDR_TEXT_MAX];
    s5_log(&e->log, S5_LOG_ERROR, "refused: UDP to %s: the rules select another server than the one of this socket",
           s5_addr_format(to, text, sizeof text));
    return -EHOSTUNREACH;
}

/* Refuses a direct destination. A name that goes directly has no address yet. A name server on loopback would resolve
 * names by itself. */
static int refuse_direct(struct s5_engine *e, const struct s5_addr *to)
{
    char text[S5_ADDR_TEXT_MAX];
    s5_log(&e->log, S5_LOG_ERROR, "refused: UDP to %s on a socket whose datagrams go to a server",
           s5_addr_format(to, text, sizeof text));
    return -EHOSTUNREACH;
}

static int make_heading(struct s5_engine *e, struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                        struct s5_heading *ret)
{
    struct s5_addr asked, to;
    const struct s5_server *server = NULL;
    bool named;
    if (len < sizeof sa->sa_family || !s5_target_address(sa, len, &asked))
        return -EINVAL;
    if (a->family == AF_INET && sa->sa_family == AF_INET6)
        return -EAFNOSUPPORT;
    if (asked.port == 0)
        return -EINVAL;
    to = asked;
    int r = s5_target_route(e, &to, &server, &named);
    if (r < 0)
        return r;
    if (r == 0 && (named || s5_dns_answer_is_ours(e, &to, S5_PROTO_UDP)))
        return refuse_direct(e, &to);
    /* An association stays at its server after a reload, wherever the new rules lead. */
    if (r > 0 && !s5_route_has(r, server, a->server_index) &&
        a->policy_generation == s5_policy_file_of(s5_server_policy(server))->generation)
        return refuse_other_server(e, &to);
    struct s5_writer w = s5_writer_init(ret->octets, sizeof ret->octets);
    ret->direct = r == 0;
    if (r > 0)
        s5_udp_header_write(&w, 0, &to);
    ret->len = (uint16_t)w.used;
    bool alias = r > 0 && named;
    if (!s5_addr_is_unspecified(&asked)) /* replies come from loopback */
        cache_heading(a, sa, len, ret, alias ? &asked : NULL, alias ? &to : NULL);
    if (r > 0 && to.kind != S5_ADDR_NAME)
        atomic_store_explicit(&a->expect, (uint8_t)w.used, memory_order_relaxed);
    return 0;
}

int s5_target_heading(struct s5_engine *e, struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                      struct s5_heading *ret)
{
    if (len >= 8 && read_cached_heading(a, sa, len, ret))
        return 0;
    return make_heading(e, a, sa, len, ret);
}

/* --- from a source --- */

/* Whether the cache has FROM as a destination that was sent as an address. */
static bool is_literal(const struct s5_association *a, const struct s5_addr *from)
{
    struct s5_addr to;
    for (unsigned i = 0; i < S5_TARGETS; i++)
        if (a->targets[i].to.len && a->targets[i].heading.octets[3] != S5_WIRE_NAME &&
            s5_addr_from_sockaddr(&to, &a->targets[i].to.any, a->targets[i].to.len) == 0 && s5_addr_equal(&to, from))
            return true;
    return false;
}

/* How well ALIAS fits a datagram that the relay reports from FROM; 0: not at all. */
static int rate_alias(const struct s5_alias *alias, const struct s5_addr *from)
{
    if (alias->asked.kind == S5_ADDR_NONE || alias->asked.port != from->port)
        return 0;
    if (s5_addr_equal(&alias->name, from) || s5_addr_equal(&alias->reported, from))
        return 3;
    return alias->reported.kind == S5_ADDR_NONE ? 2 : 1; /* 1: a name with several addresses */
}

/* FROM, as the relay reports it, becomes the fake address of the name that was sent. */
static void replace_by_alias(struct s5_association *a, struct s5_addr *from)
{
    struct s5_alias *best = NULL;
    int best_fit = 0;
    if (a->aliases[0].asked.kind == S5_ADDR_NONE || !s5_target_lock(a))
        return;
    bool literal = is_literal(a, from);
    for (unsigned i = 1; i <= S5_ALIASES && !literal; i++) {
        struct s5_alias *alias = &a->aliases[(a->next_alias + S5_ALIASES - i) % S5_ALIASES];
        int fit = rate_alias(alias, from);
        if (fit > best_fit) {
            best = alias;
            best_fit = fit;
        }
    }
    if (best && from->kind != S5_ADDR_NAME)
        best->reported = *from;
    if (best)
        *from = best->asked;
    s5_target_unlock(a);
}

static bool is_peer(const struct s5_association *a, const struct s5_addr *from)
{
    struct s5_addr peer;
    return s5_addr_from_sockaddr(&peer, &a->peer.any, a->peer.len) == 0 && s5_addr_equal(&peer, from);
}

bool s5_target_heard(struct s5_association *a, const uint8_t *header, size_t len, struct s5_endpoint *ret)
{
    if (len != S5_UDP_HEADER_IPV4 && len != S5_UDP_HEADER_IPV6)
        return false;
    const struct s5_target *t = get_place(a, header[len - 1], header[len - 3]);
    if (!try_lock(a))
        return false;
    bool found = t->to.len && t->heading.len == len && memcmp(t->heading.octets, header, len) == 0 &&
                 (!a->peer.len || is_same_endpoint(&a->peer, &t->to.any, t->to.len));
    if (found)
        *ret = t->to;
    s5_target_unlock(a);
    return found;
}

bool s5_target_source(struct s5_engine *e, struct s5_association *a, const struct s5_addr *from,
                      struct s5_endpoint *ret)
{
    struct s5_addr source = *from;
    if (source.kind == S5_ADDR_NONE)
        return false;
    replace_by_alias(a, &source);
    if (a->peer.len) {
        *ret = a->peer;
        return is_peer(a, &source);
    }
    if (source.kind == S5_ADDR_NAME)
        return s5_names_fake_address(e, &source, a->family, ret) == 0; /* also a name that was never sent */
    return s5_endpoint_of(&source, a->family, ret) == 0;
}
