/* Queries libc's resolver. The hooks do not see the packets that it sends.
 * - Where names are resolved locally, its queries are allowed unless a rule denies its DNS servers.
 * - Where the proxy resolves names, the rules must route its DNS servers directly. A DNS server on loopback is allowed
 *   only by a rule, because it would forward the query to the network. */
#include "resolve.h"
#include "bridge.h"
#include "clock.h"
#include "companion_request.h"
#include "engine.h"
#include "in_engine.h"
#include "keyed.h"
#include "server.h"
#include "server_cache.h"
#include "word_reader.h"
#include <errno.h>
#include <string.h>

/* --- the DNS servers that libc uses --- */

struct servers {
    struct s5_engine *e;
    bool keyword; /* the current line begins with "nameserver" */
    bool any;     /* there is a line with a server */
    struct s5_addr found;
};

/* Returns true if SERVER may not be queried directly. */
static bool is_barred(struct s5_engine *e, const struct s5_addr *server)
{
    struct s5_flow flow = {server, S5_PROTO_UDP, S5_CMD_UDP};
    struct s5_route route = s5_policy_decide(e->policy, &flow);
    if (e->policy->resolve_local)
        return route.verdict == S5_DENY;
    if (route.verdict != S5_DIRECT || route.why != S5_WHY_RULE)
        return true;
    flow.protocol = S5_PROTO_TCP;
    flow.command = S5_CMD_CONNECT;
    return s5_policy_decide(e->policy, &flow).verdict != S5_DIRECT;
}

static bool is_server_barred(void *user, unsigned at, const char *word, size_t len)
{
    struct servers *s = user;
    struct s5_addr addr;
    if (!s5_word_reader_follows(&s->keyword, "nameserver", at, word, len))
        return false;
    s->any = true;
    const char *scope = memchr(word, '%', len);
    return s5_addr_parse(&addr, word, scope ? (size_t)(scope - word) : len, 53) < 0 || addr.kind == S5_ADDR_NAME ||
           is_barred(s->e, &addr);
}

static bool can_query_directly(struct s5_engine *e)
{
    struct servers s = {.e = e};
    struct s5_addr here;
    if (s5_word_reader_each("/etc/resolv.conf", is_server_barred, &s))
        return false;
    s5_addr_parse(&here, "127.0.0.1", 9, 53);
    return s.any || !is_barred(e, &here); /* libc's default server */
}

static bool find_remote_server(void *user, unsigned at, const char *word, size_t len)
{
    struct servers *s = user;
    return s5_word_reader_follows(&s->keyword, "nameserver", at, word, len) &&
           s5_addr_parse(&s->found, word, len, 53) == 0 && s->found.kind != S5_ADDR_NAME &&
           !s5_addr_is_loopback(&s->found);
}

int s5_resolve_dns_server(struct s5_engine *e, struct s5_endpoint *ret)
{
    struct servers s = {.e = e};
    if (!s5_word_reader_each("/etc/resolv.conf", find_remote_server, &s))
        return -ENOENT;
    int family = s.found.kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
    return s5_endpoint_of(&s.found, family, ret);
}

/* --- permission for libc --- */

int s5_resolve_allowed(struct s5_engine *e, const char *node)
{
    int saved = errno, r = 0;
    if (s5_in_engine)
        return 0;
    if (!s5_engine_policy(e))
        r = atomic_load(&e->refusal);
    else if (!can_query_directly(e)) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: lookup of \"%s\": no rule allows direct access to the DNS server",
               node ? node : "an address");
        r = -EACCES;
    }
    errno = saved;
    return r;
}

/* --- names of servers --- */

/* Resolves HOST with the companion, and passes the addresses to KEEP. Returns 0 or an EAI_* error. */
static __attribute__((noinline)) int resolve_outside(const char *host,
                                                     void (*keep)(void *user, const struct addrinfo *list), void *user)
{
    struct s5_companion_addresses found;
    struct addrinfo list[S5_SERVER_ADDRS];
    struct s5_endpoint at[S5_SERVER_ADDRS];
    unsigned n = 0;
    int r = s5_companion_request_look_up(host, AF_UNSPEC, 0, &found);
    if (r != 0)
        return r;
    for (unsigned i = 0; i < found.n && n < S5_SERVER_ADDRS; i++) {
        struct s5_addr addr;
        int family = found.list[i].kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
        s5_addr_from_octets(&addr, found.list[i].octets, family == AF_INET ? 4 : 16, 0);
        if (s5_endpoint_of(&addr, family, &at[n]) < 0)
            continue;
        list[n] = (struct addrinfo){.ai_family = family, .ai_addr = &at[n].any, .ai_addrlen = at[n].len};
        if (n > 0)
            list[n - 1].ai_next = &list[n];
        n++;
    }
    if (n > 0)
        keep(user, list);
    return n > 0 ? 0 : EAI_NONAME;
}

/* Resolves HOST with libc and passes the addresses to KEEP. Returns 0 or an EAI_* error. A signal handler must not
 * leave libc's resolver by a jump, because the resolver holds locks and memory. So signals are blocked meanwhile;
 * the timeouts of resolv.conf bound that time. */
static int resolve_with_libc(struct s5_engine *e, const char *host,
                             void (*keep)(void *user, const struct addrinfo *list), void *user)
{
    if (s5_fence() == S5_FENCE_WATCHED)
        return resolve_outside(host, keep, user);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    struct s5_in_engine_section section;
    s5_in_engine_begin(&section);
    int r = e->real->getaddrinfo(host, NULL, &hints, &list);
    if (r == 0) {
        keep(user, list);
        freeaddrinfo(list);
    }
    s5_in_engine_end(&section);
    return r;
}

struct direct {
    const struct s5_addr *name;
    int family;
    struct s5_endpoint *ret;
    bool found;
};

static void keep_direct(void *user, const struct addrinfo *list)
{
    struct direct *d = user;
    struct s5_addr addr;
    struct sockaddr_storage sa;
    socklen_t len;
    for (const struct addrinfo *ai = list; !d->found && ai; ai = ai->ai_next) {
        if (s5_addr_from_sockaddr(&addr, ai->ai_addr, ai->ai_addrlen) < 0)
            continue;
        addr.port = d->name->port;
        if (s5_addr_to_sockaddr(&addr, d->family, &sa, &len) < 0)
            continue;
        d->ret->len = len;
        memcpy(&d->ret->any, &sa, len);
        d->found = true;
    }
}

int s5_resolve_direct(struct s5_engine *e, const struct s5_addr *name, int family, struct s5_endpoint *ret)
{
    struct direct d = {name, family, ret, false};
    if (resolve_with_libc(e, name->name, keep_direct, &d) != 0)
        return -EHOSTUNREACH;
    return d.found ? 0 : -EAFNOSUPPORT;
}

/* Ensures that a bridge is in front of SERVER; starts one where there is none. Returns 0, or -ECONNREFUSED, logged at
 * LEVEL. */
__attribute__((noinline)) static int ensure_bridge(struct s5_engine *e, const struct s5_server *server,
                                                   enum s5_log_level level)
{
    char path[S5_BRIDGE_PATH_MAX];
    struct s5_bridge_start how = {
        atomic_load(&e->shm),           atomic_load(&e->shm_fd), path, environ, s5_engine_owns_stderr(e) ? 2 : -1,
        atomic_load(&e->process_number)};
    const char *why = "the program is not installed";
    if (!e->policy_is_shared)
        why = "the configuration differs from that of the process tree";
    else if (s5_bridge_is_up(&how))
        return s5_bridge_redirect(e, server);
    else if (e->bridge_path && e->bridge_path(path, sizeof path) == 0) {
        if (s5_bridge_ensure(&how) == 0)
            return s5_bridge_redirect(e, server);
        why = s5_fence() == S5_FENCE_SILENT ? "it cannot be started again within the fence without a companion"
                                            : "it cannot be started";
    }
    s5_log(&e->log, level, "server \"%s\": no bridge: %s", s5_server_name(server), why);
    return -ECONNREFUSED;
}

static void keep_server(void *user, const struct addrinfo *list)
{
    s5_server_keep(user, list);
}

/* Stores the addresses of FOUND in SERVER, unless another thread was first. */
static void keep_addresses(struct s5_engine *e, const struct s5_server *server, const struct s5_server *found)
{
    struct s5_server *own = (struct s5_server *)(uintptr_t)server;
    struct s5_critical critical;
    if (!s5_lock_take(&e->policy_lock, &critical))
        return;
    if (!own->n_addrs) {
        memcpy(own->addrs, found->addrs, sizeof own->addrs);
        __atomic_store_n(&own->n_addrs, found->n_addrs, __ATOMIC_RELEASE);
    }
    s5_lock_give(&e->policy_lock, &critical);
}

/* Resolves the names of the servers that can be the first of CHAIN, and gives it the addresses of one. The others are
 * resolved by the hop before them. */
static __attribute__((noinline, cold)) int resolve_chain(struct s5_engine *e, const struct s5_server *chain,
                                                         enum s5_log_level level)
{
    struct s5_server_cache_entry *table = atomic_load(&e->shm)->server_cache;
    bool strict = chain->chain_mode == S5_CHAIN_STRICT;
    int result = -EHOSTUNREACH;
    for (unsigned i = 0; i < s5_policy_first_hops(chain); i++) {
        const struct s5_policy *p = s5_server_policy(chain);
        uint32_t index = p->vias[chain->hops_first + i];
        const struct s5_server *hop = &p->servers[index];
        uint64_t now = (uint64_t)s5_clock_wall_ms();
        if (!strict && !__atomic_load_n(&hop->n_addrs, __ATOMIC_ACQUIRE) &&
            s5_server_cache_down_for(table, e->server_keys[index], now))
            continue;
        int r = s5_resolve_server(e, hop, strict ? level : S5_LOG_WARNING);
        if (r == 0)
            keep_addresses(e, chain, hop);
        else if (!strict)
            s5_server_cache_set_down(table, "", e->server_keys[index], now, true);
        if (result < 0)
            result = r;
    }
    return result;
}

int s5_resolve_server(struct s5_engine *e, const struct s5_server *server, enum s5_log_level level)
{
    if (__builtin_expect(server->n_hops, 0))
        return resolve_chain(e, server, level);
    if (s5_bridge_fronts(server))
        return ensure_bridge(e, server, level);
    if (__atomic_load_n(&server->n_addrs, __ATOMIC_ACQUIRE))
        return 0;
    struct s5_shm *shm = e->policy_is_shared ? atomic_load(&e->shm) : NULL;
    unsigned index = server->index;
    const char *host = s5_policy_text(s5_server_policy(server), server->host);
    struct s5_server found = {.n_addrs = 0};
    int r = shm && s5_shm_resolved(shm, index, &found) ? 0 : resolve_with_libc(e, host, keep_server, &found);
    if (r == 0 && found.n_addrs) {
        keep_addresses(e, server, &found);
        if (shm)
            s5_shm_set_resolved(shm, index, &found);
        return 0;
    }
    s5_log(&e->log, level, "server \"%s\": cannot resolve \"%s\": %s", s5_server_name(server), host,
           r ? gai_strerror(r) : "no address");
    return -EHOSTUNREACH;
}
