/* Theory of operation
 *
 * A blocking connect through a server, in terms of non-blocking sockets, poll and one deadline.
 * URL becomes a policy with one server, by the same reader socksify uses. Then, for every address
 * of the destination (one, unless names are resolved here):
 *
 *   attempt with the whole negotiation in one flight, unless the server is known not to take that
 *   attempt step by step, on a fresh connection, where the first ended so as it does with servers
 *   that cannot take pipelined octets: they hang up, answer "general failure", or never answer.
 *   How long to wait for the last is told by the time the TCP handshake took.
 *
 * What was found out is remembered for the process. The result is made blocking again at the very end. */
#include "dial.h"
#include "addr.h"
#include "client.h"
#include "clock.h"
#include "export.h"
#include "pipelining.h"
#include "pipelining_cache.h"
#include "server.h"
#include "socks5client.h"
#include "source.h"
#include "url.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MS  30000
#define TARGETS_MAX 8

static struct s5_pipelining_cache_entry
    pipelining_cache[S5_PIPELINING_CACHE_ENTRIES]; /* of the servers that this process has talked to */

struct dial {
    struct s5_policy *policy;
    struct s5_server *server;
    enum s5_command command;
    struct s5_gss_link *link; /* of the attempt made last */
    uint64_t deadline;        /* ns, of s5_clock_now */
    uint64_t round_trip;      /* ns the last TCP handshake took */
    uint64_t waited;          /* ns the attempt in one flight waited in vain; 0: it did not */
    uint64_t cache_key;       /* key of the server */
};

enum attempt {
    PROBE,     /* in one flight; nobody knows whether the server takes that */
    PIPELINED, /* in one flight */
    STEP_BY_STEP,
    AGAIN, /* step by step, after a probe that may have failed because it was one */
};

/* ---- To the server ---- */

/* A connection to the first address of the server that takes one, or the last one's -errno. */
static int reach(struct dial *d)
{
    struct sockaddr_storage to;
    socklen_t len;
    int r, result = -EHOSTUNREACH;
    for (unsigned i = 0; (r = s5_client_address(d->policy, d->server, i, &to, &len)) != -ENOENT; i++) {
        uint64_t begin = s5_clock_now();
        if (begin >= d->deadline)
            return -ETIMEDOUT;
        unsigned left = d->server->is_path ? 1 : d->server->n_addrs - i;
        result = r < 0 ? r : s5_client_reach(&to, len, begin + (d->deadline - begin) / left);
        d->round_trip = s5_clock_now() - begin;
        if (result >= 0)
            break;
    }
    return result;
}

/* ---- The negotiation ---- */

/* Of an association zeros are asked for, of the family the server was reached by: some choose the
 * relay's by it. */
static struct s5_addr zeros_like(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    getpeername(fd, (struct sockaddr *)&sa, &len);
    return (struct s5_addr){.kind = sa.ss_family == AF_INET6 ? S5_ADDR_IPV6 : S5_ADDR_IPV4};
}

static int start(struct dial *d, int fd, const struct s5_addr *target, bool pipeline)
{
    struct s5_addr zeros = zeros_like(fd);
    struct s5_gss_setup without = {.provider = NULL};
    struct s5_session_setup setup = {
        .command = d->command,
        .dst = d->command == S5_UDP_ASSOCIATE ? &zeros : target,
        .n_methods = d->server->n_methods,
        .username = d->server->username,
        .username_len = d->server->username_len,
        .password = d->server->password,
        .password_len = d->server->password_len,
        .pipeline = pipeline,
    };
    memcpy(setup.methods, d->server->methods, sizeof(setup.methods));
    return s5_gss_link_start(d->link, &setup, &without);
}

/* HOW went well. A second attempt that took as long as the first had waited tells nothing: the destination was slow. */
static void learn(const struct dial *d, enum attempt how, uint64_t took)
{
    bool slow = d->waited && took >= d->waited;
    if (how == PROBE && d->server->n_methods == 1)
        s5_pipelining_cache_set(pipelining_cache, "", d->cache_key, S5_PIPELINING_SUPPORTED);
    else if (how == AGAIN && !slow &&
             s5_pipelining_cache_get(pipelining_cache, d->cache_key) != S5_PIPELINING_SUPPORTED)
        s5_pipelining_cache_set(pipelining_cache, "", d->cache_key, S5_PIPELINING_UNSUPPORTED);
}

/* *RET_DOUBTFUL: it failed, maybe because it was a probe. */
static int attempt(struct dial *d, const struct s5_addr *target, enum attempt how, bool *ret_doubtful)
{
    *ret_doubtful = false;
    int fd = reach(d);
    int result = fd < 0 ? fd : start(d, fd, target, how <= PIPELINED);
    if (result == 0) {
        struct s5_client c = {.link = d->link, .fd = fd};
        uint64_t begun = s5_clock_now(), probe = begun + s5_pipelining_timeout(d->round_trip);
        result = s5_client_run(&c, how == PROBE && probe < d->deadline ? probe : d->deadline);
        uint64_t took = s5_clock_now() - begun;
        if (result == 0)
            learn(d, how, took);
        else if (how == PROBE && result == -ETIMEDOUT)
            d->waited = took;
        *ret_doubtful = how == PROBE && result < 0 &&
                        (result == -ETIMEDOUT || s5_pipelining_needs_check(&d->link->session, result, c.closed));
    }
    if (result < 0 && fd >= 0)
        close(fd);
    return result < 0 ? result : fd;
}

static enum attempt first_attempt(const struct dial *d)
{
    if (d->server->pipeline != S5_PIPELINE_AUTO)
        return d->server->pipeline == S5_PIPELINE_ON ? PIPELINED : STEP_BY_STEP;
    switch (s5_pipelining_cache_get(pipelining_cache, d->cache_key)) {
    case S5_PIPELINING_SUPPORTED:
        return PIPELINED;
    case S5_PIPELINING_UNSUPPORTED:
        return STEP_BY_STEP;
    default:
        return PROBE;
    }
}

/* ---- Names ---- */

/* What HOST resolves to, to be freed with freeaddrinfo(): 0, or -errno. */
static int look_up(const char *host, struct addrinfo **ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, NULL, &hints, ret);
    return error == 0 ? 0 : error == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

/* HOST as up to MAX addresses with PORT; their number, or -errno. */
static int resolve(const char *host, uint16_t port, struct s5_addr *ret, int max)
{
    struct addrinfo *list;
    int n = 0, result = look_up(host, &list);
    if (result < 0)
        return result;
    for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
        if (s5_addr_from_sockaddr(&ret[n], i->ai_addr, i->ai_addrlen) == 0)
            ret[n++].port = port;
    }
    freeaddrinfo(list);
    return n > 0 ? n : -EHOSTUNREACH;
}

static int resolve_server(struct dial *d)
{
    struct addrinfo *list;
    if (d->server->is_path || d->server->n_addrs > 0)
        return 0;
    int result = look_up(s5_policy_text(d->policy, d->server->host), &list);
    if (result < 0)
        return result;
    unsigned kept = s5_server_keep(d->server, list);
    freeaddrinfo(list);
    return kept ? 0 : -EHOSTUNREACH;
}

static int dial(struct dial *d, const char *host, uint16_t port)
{
    struct s5_addr targets[TARGETS_MAX];
    if (!host && d->command != S5_CONNECT)
        targets[0] = (struct s5_addr){.kind = S5_ADDR_NONE};
    else if (!host || (port == 0 && d->command == S5_CONNECT) ||
             s5_addr_parse(&targets[0], host, strlen(host), port) < 0)
        return -EINVAL;
    int n = resolve_server(d);
    if (n < 0)
        return n;
    n = 1;
    if (targets[0].kind == S5_ADDR_NAME && d->policy->resolve_local)
        n = resolve(host, port, targets, TARGETS_MAX);
    int result = n;
    for (int i = 0; i < n; i++) {
        bool doubtful;
        d->waited = 0;
        result = attempt(d, &targets[i], first_attempt(d), &doubtful);
        if (doubtful && s5_clock_now() < d->deadline)
            result = attempt(d, &targets[i], AGAIN, &doubtful);
        if (result >= 0 || s5_clock_now() >= d->deadline)
            break;
    }
    return result;
}

uint64_t s5_dial_until(int timeout_ms)
{
    return s5_clock_now() + (uint64_t)(timeout_ms < 0 ? DEFAULT_MS : timeout_ms) * (S5_CLOCK_SECOND / 1000);
}

int s5_dial(const char *url, enum s5_command command, const char *host, uint16_t port, int timeout_ms,
            struct s5_gss_link *ret)
{
    struct dial d = {.command = command, .link = ret, .deadline = s5_dial_until(timeout_ms)};
    struct s5_environment env = {0};
    struct s5_fault fault;
    s5_session_wipe(&ret->session);
    d.policy = malloc(sizeof(*d.policy));
    if (!d.policy)
        return -ENOMEM;
    s5_policy_init(d.policy);
    int result = -EINVAL;
    if (s5_url_load(d.policy, url, "url", &env, &fault) == 0 && d.policy->n_servers == 1) {
        d.server = &d.policy->servers[0];
        d.cache_key = s5_pipelining_cache_key(d.policy, d.server);
        result = dial(&d, host, port);
    }
    explicit_bzero(d.policy, sizeof(*d.policy));
    free(d.policy);
    return result;
}

int s5_dial_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

S5_EXPORT int socks5_connect(const char *url, const char *host, uint16_t port, int timeout_ms)
{
    struct s5_gss_link link;
    int fd = s5_dial(url, S5_CONNECT, host, port, timeout_ms, &link);
    s5_session_wipe(&link.session);
    int result = fd < 0 ? fd : s5_dial_block(fd);
    if (fd >= 0 && result < 0)
        close(fd);
    return result < 0 ? result : fd;
}

int s5_dial_text(const struct s5_addr *bound, char *host, size_t size, uint16_t *ret_port)
{
    char address[INET6_ADDRSTRLEN];
    const char *text = bound->name;
    if (bound->kind == S5_ADDR_IPV4)
        text = inet_ntop(AF_INET, bound->octets, address, sizeof(address));
    else if (bound->kind == S5_ADDR_IPV6)
        text = inet_ntop(AF_INET6, bound->octets, address, sizeof(address));
    size_t len = strlen(text);
    if (len >= size)
        return -ENOSPC;
    memcpy(host, text, len + 1);
    *ret_port = bound->port;
    return (int)len;
}
