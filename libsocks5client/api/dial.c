/* Theory of operation
 *
 * A blocking connect through a server, made of non-blocking sockets, poll and one deadline. The URL becomes a policy
 * with one server, by the same parser that socksify uses. Then, for each address of the destination (there is one,
 * unless names are resolved locally):
 *
 * - The first attempt pipelines the whole negotiation, unless the server is known not to support that.
 * - The second attempt goes step by step, on a new connection. It is made where the first one failed as with a
 *   server that does not support pipelining: such a server closes the connection, replies "general failure", or
 *   never replies. The time to wait for a reply depends on the duration of the TCP handshake.
 *
 * The result is kept in a server cache of the process. At the end, the caller makes the descriptor blocking. */
#include "dial.h"
#include "addr.h"
#include "client.h"
#include "clock.h"
#include "export.h"
#include "pipelining.h"
#include "server.h"
#include "server_cache.h"
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

static struct s5_server_cache_entry
    server_cache[S5_SERVER_CACHE_ENTRIES]; /* of the servers that this process has used */

struct dial {
    struct s5_policy *policy;
    struct s5_server *server;
    enum s5_command command;
    struct s5_gss_link *link; /* of the last attempt; not owned */
    uint64_t deadline;        /* ns, as s5_clock_now() */
    uint64_t round_trip;      /* ns, duration of the last TCP handshake */
    uint64_t waited;          /* ns, duration of a probe that timed out; 0: none did */
    uint64_t server_key;      /* key of the server in the server cache */
};

enum attempt {
    PROBE,     /* pipelined; it is not known whether the server supports that */
    PIPELINED, /* pipelined; not a probe */
    STEP_BY_STEP,
    AGAIN, /* step by step, after a probe that may have failed because it was pipelined */
};

/* ---- The connection ---- */

/* Connects to the first address of the server that accepts. Returns the descriptor, or the -errno of the last address.
 * Each address gets an equal share of the time that is left. */
static int connect_to_server(struct dial *d)
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

/* Returns the unspecified address of the family of FD's peer, for UDP ASSOCIATE: some servers choose the family of the
 * relay by it. */
static struct s5_addr make_unspecified_address(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    getpeername(fd, (struct sockaddr *)&sa, &len);
    return (struct s5_addr){.kind = sa.ss_family == AF_INET6 ? S5_ADDR_IPV6 : S5_ADDR_IPV4};
}

static int start_negotiation(struct dial *d, int fd, const struct s5_addr *target, bool pipeline)
{
    struct s5_addr zeros = make_unspecified_address(fd);
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

/* Updates the server cache after the attempt HOW, which succeeded. A second attempt that took as long as the
 * probe had waited proves nothing: the destination was slow. */
static void update_server_cache(const struct dial *d, enum attempt how, uint64_t took)
{
    bool slow = d->waited && took >= d->waited;
    if (how == PROBE && d->server->n_methods == 1)
        s5_server_cache_set_pipelining(server_cache, "", d->server_key, S5_PIPELINING_SUPPORTED);
    else if (how == AGAIN && !slow &&
             s5_server_cache_pipelining(server_cache, d->server_key) != S5_PIPELINING_SUPPORTED)
        s5_server_cache_set_pipelining(server_cache, "", d->server_key, S5_PIPELINING_UNSUPPORTED);
}

/* Makes the attempt HOW to TARGET. Returns a descriptor or -errno. *RET_NEEDS_CHECK: it failed, perhaps because it
 * was a probe. */
static int try_target(struct dial *d, const struct s5_addr *target, enum attempt how, bool *ret_needs_check)
{
    *ret_needs_check = false;
    int fd = connect_to_server(d);
    int result = fd < 0 ? fd : start_negotiation(d, fd, target, how <= PIPELINED);
    if (result == 0) {
        struct s5_client c = {.link = d->link, .fd = fd};
        uint64_t begun = s5_clock_now(), probe = begun + s5_pipelining_timeout(d->round_trip);
        result = s5_client_run(&c, how == PROBE && probe < d->deadline ? probe : d->deadline);
        uint64_t took = s5_clock_now() - begun;
        if (result == 0)
            update_server_cache(d, how, took);
        else if (how == PROBE && result == -ETIMEDOUT)
            d->waited = took;
        *ret_needs_check = how == PROBE && result < 0 &&
                           (result == -ETIMEDOUT || s5_pipelining_needs_check(&d->link->session, result, c.closed));
    }
    if (result < 0 && fd >= 0)
        close(fd);
    return result < 0 ? result : fd;
}

static enum attempt choose_first_attempt(const struct dial *d)
{
    if (d->server->pipeline != S5_PIPELINE_AUTO)
        return d->server->pipeline == S5_PIPELINE_ON ? PIPELINED : STEP_BY_STEP;
    switch (s5_server_cache_pipelining(server_cache, d->server_key)) {
    case S5_PIPELINING_SUPPORTED:
        return PIPELINED;
    case S5_PIPELINING_UNSUPPORTED:
        return STEP_BY_STEP;
    default:
        return PROBE;
    }
}

/* ---- Names ---- */

/* Stores in RET the addresses of HOST, to be freed with freeaddrinfo(). Returns 0 or -errno. */
static int look_up_host(const char *host, struct addrinfo **ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, NULL, &hints, ret);
    return error == 0 ? 0 : error == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

/* Stores in RET up to MAX addresses of HOST with PORT. Returns their number, or -errno. */
static int resolve_host(const char *host, uint16_t port, struct s5_addr *ret, int max)
{
    struct addrinfo *list;
    int n = 0, result = look_up_host(host, &list);
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
    int result = look_up_host(s5_policy_text(d->policy, d->server->host), &list);
    if (result < 0)
        return result;
    unsigned kept = s5_server_keep(d->server, list);
    freeaddrinfo(list);
    return kept ? 0 : -EHOSTUNREACH;
}

static int dial_host(struct dial *d, const char *host, uint16_t port)
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
        n = resolve_host(host, port, targets, TARGETS_MAX);
    int result = n;
    for (int i = 0; i < n; i++) {
        bool needs_check;
        d->waited = 0;
        result = try_target(d, &targets[i], choose_first_attempt(d), &needs_check);
        if (needs_check && s5_clock_now() < d->deadline)
            result = try_target(d, &targets[i], AGAIN, &needs_check);
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
        d.server_key = s5_server_cache_key(d.policy, d.server);
        result = dial_host(&d, host, port);
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
