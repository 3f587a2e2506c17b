/* Asking libc's resolver, whose queries go where no hook sees them. Where names are resolved here,
 * they are what was asked for, unless its DNS servers are denied by a rule. Where names shall be
 * resolved on the far side, the rules must let those be reached directly; one on loopback does not
 * count as that unless a rule says so: it would ask the world in our stead. */
#include "resolve.h"
#include "bridge.h"
#include "engine.h"
#include "in_engine.h"
#include "server.h"
#include "word_reader.h"
#include <errno.h>
#include <string.h>

/* --- the DNS servers libc would ask --- */

struct servers {
    struct s5_engine *e;
    bool keyword; /* this line begins with "nameserver" */
    bool any;     /* one was named */
    struct s5_addr found;
};

/* True when SERVER may not be asked directly. */
static bool barred(struct s5_engine *e, const struct s5_addr *server)
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

static bool barred_server(void *user, unsigned at, const char *word, size_t len)
{
    struct servers *s = user;
    struct s5_addr addr;
    if (at == 0)
        s->keyword = len == 10 && memcmp(word, "nameserver", 10) == 0;
    if (at != 1 || !s->keyword)
        return false;
    s->any = true;
    const char *scope = memchr(word, '%', len);
    return s5_addr_parse(&addr, word, scope ? (size_t)(scope - word) : len, 53) < 0 || addr.kind == S5_ADDR_NAME ||
           barred(s->e, &addr);
}

static bool servers_direct(struct s5_engine *e)
{
    struct servers s = {.e = e};
    struct s5_addr here;
    if (s5_word_reader_each("/etc/resolv.conf", barred_server, &s))
        return false;
    s5_addr_parse(&here, "127.0.0.1", 9, 53);
    return s.any || !barred(e, &here); /* libc's default server */
}

static bool far_server(void *user, unsigned at, const char *word, size_t len)
{
    struct servers *s = user;
    if (at == 0)
        s->keyword = len == 10 && memcmp(word, "nameserver", 10) == 0;
    return at == 1 && s->keyword && s5_addr_parse(&s->found, word, len, 53) == 0 && s->found.kind != S5_ADDR_NAME &&
           !s5_addr_is_loopback(&s->found);
}

int s5_resolve_dns_server(struct s5_engine *e, struct s5_endpoint *ret)
{
    struct servers s = {.e = e};
    struct sockaddr_storage sa;
    if (!s5_word_reader_each("/etc/resolv.conf", far_server, &s))
        return -ENOENT;
    int family = s.found.kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
    int r = s5_addr_to_sockaddr(&s.found, family, &sa, &ret->len);
    if (r == 0)
        memcpy(&ret->any, &sa, ret->len);
    return r;
}

/* --- what libc may do --- */

int s5_resolve_allowed(struct s5_engine *e, const char *node)
{
    int saved = errno, r = 0;
    if (s5_in_engine)
        return 0;
    if (!s5_engine_policy(e))
        r = atomic_load(&e->refusal);
    else if (!servers_direct(e)) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: lookup of \"%s\": no rule lets its DNS server be reached directly",
               node ? node : "an address");
        r = -EACCES;
    }
    errno = saved;
    return r;
}

/* --- the server's own name --- */

/* What libc finds for HOST goes to KEEP. libc's resolver is no place for a handler to leave by a jump: it has
 * locks, and memory. So signals are held for as long as it takes, which resolv.conf's time-outs bound. */
static int look_up(struct s5_engine *e, const char *host, void (*keep)(void *user, const struct addrinfo *list),
                   void *user)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    struct s5_in_engine_section quiet;
    s5_in_engine_begin(&quiet);
    int r = e->real->getaddrinfo(host, NULL, &hints, &list);
    if (r == 0) {
        keep(user, list);
        freeaddrinfo(list);
    }
    s5_in_engine_end(&quiet);
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
    if (look_up(e, name->name, keep_direct, &d) != 0)
        return -EHOSTUNREACH;
    return d.found ? 0 : -EAFNOSUPPORT;
}

/* SERVER wants the bridge in front of it, which is started where none is. */
__attribute__((noinline)) static int front(struct s5_engine *e, const struct s5_server *server)
{
    char path[S5_BRIDGE_PATH_MAX];
    struct s5_bridge_start how = {
        atomic_load(&e->shm),           atomic_load(&e->shm_fd), path, environ, s5_engine_owns_stderr(e) ? 2 : -1,
        atomic_load(&e->process_number)};
    const char *why = "the program is not installed";
    if (!e->policy_is_shared)
        why = "the configuration is not the process tree's";
    else if (s5_bridge_is_up(&how))
        return s5_bridge_turn(e, server);
    else if (e->bridge_path && e->bridge_path(path, sizeof path) == 0) {
        if (s5_bridge_ensure(&how) == 0)
            return s5_bridge_turn(e, server);
        why = "it cannot be started";
    }
    s5_log(&e->log, S5_LOG_ERROR, "server \"%s\": no bridge: %s", s5_policy_text(e->policy, server->name), why);
    return -ECONNREFUSED;
}

static void keep_server(void *user, const struct addrinfo *list)
{
    s5_server_keep(user, list);
}

/* FOUND's addresses become SERVER's, unless another thread was first. */
static void keep(struct s5_engine *e, const struct s5_server *server, const struct s5_server *found)
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

int s5_resolve_server(struct s5_engine *e, const struct s5_server *server)
{
    if (s5_bridge_fronts(server))
        return front(e, server);
    if (__atomic_load_n(&server->n_addrs, __ATOMIC_ACQUIRE))
        return 0;
    struct s5_shm *shm = e->policy_is_shared ? atomic_load(&e->shm) : NULL;
    unsigned index = (unsigned)(server - e->policy->servers);
    const char *host = s5_policy_text(e->policy, server->host);
    struct s5_server found = {.n_addrs = 0};
    int r = shm && s5_shm_resolved(shm, index, &found) ? 0 : look_up(e, host, keep_server, &found);
    if (r == 0 && found.n_addrs) {
        keep(e, server, &found);
        if (shm)
            s5_shm_set_resolved(shm, index, &found);
        return 0;
    }
    s5_log(&e->log, S5_LOG_ERROR, "server \"%s\": cannot resolve \"%s\": %s", s5_policy_text(e->policy, server->name),
           host, r ? gai_strerror(r) : "no address");
    return -EHOSTUNREACH;
}
