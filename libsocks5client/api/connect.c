/* Theory of operation
 *
 * A blocking connect through a server, in terms of non-blocking sockets, poll and one deadline.
 * URL becomes a policy with one server, by the same reader socksify uses. Then, for every address
 * of the destination (one, unless names are resolved here):
 *
 *   attempt with the whole negotiation in one flight
 *   attempt step by step, on a fresh connection, where the first ended without a reply that could
 *   only be true: servers that cannot take pipelined octets hang up, answer "general failure", or
 *   never answer. How long to wait for the last is told by the time the TCP handshake took.
 *
 * The result is made blocking again at the very end. */
#include "addr.h"
#include "await.h"
#include "dial.h"
#include "export.h"
#include "session.h"
#include "socks5client.h"
#include "source.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_MS    30000
#define PROBE_BASE_MS 1000 /* how long a pipelined flight may stay unanswered, beside */
#define PROBE_TRIPS   4    /* that many round trips */
#define TARGETS_MAX   8

struct dial {
    struct s5_policy *policy;
    struct s5_server *server;
    enum s5_command command;
    struct s5_session *session; /* of the attempt made last */
    int64_t deadline;   /* ms, clock of now_ms */
    int64_t round_trip; /* ms the last TCP handshake took */
    bool settled;       /* the last failure is the destination's or ours: trying again is no use */
};

/* ---- To the server ---- */

static int reach_address(const struct sockaddr *sa, socklen_t len, int64_t until)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, sa, len) < 0) {
        error = errno;
        if (error == EINPROGRESS || error == EINTR) {
            error = -s5_api_await(fd, POLLOUT, until);
            if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        }
    }
    if (error == 0)
        return fd;
    close(fd);
    return -error;
}

static int reach_path(const char *path, int64_t until)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(un.sun_path))
        return -EINVAL;
    strcpy(un.sun_path, path);
    return reach_address((const struct sockaddr *)&un, sizeof(un), until);
}

/* A connection to the first address of the server that takes one, or the last one's -errno. */
static int reach(struct dial *d)
{
    const struct s5_server *server = d->server;
    if (server->is_path)
        return reach_path(s5_policy_text(d->policy, server->host), d->deadline);
    int result = -EHOSTUNREACH;
    for (int i = 0; i < server->n_addrs; i++) {
        int64_t begin = s5_api_now();
        if (begin >= d->deadline)
            return -ETIMEDOUT;
        const struct s5_ip *ip = &server->addrs[i];
        struct s5_addr addr = {.kind = ip->kind, .port = server->port};
        memcpy(addr.octets, ip->octets, sizeof(ip->octets));
        struct sockaddr_storage sa;
        socklen_t len;
        int family = ip->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
        if (s5_addr_to_sockaddr(&addr, family, &sa, &len) < 0)
            continue;
        int64_t share = (d->deadline - begin) / (server->n_addrs - i);
        result = reach_address((const struct sockaddr *)&sa, len, begin + share);
        if (result >= 0) {
            d->round_trip = s5_api_now() - begin;
            return result;
        }
    }
    return result;
}

/* ---- The negotiation ---- */

static int send_out(struct s5_session *s, int fd, int64_t until)
{
    size_t len;
    const uint8_t *out;
    while (out = s5_session_out(s, &len), len > 0) {
        ssize_t n = send(fd, out, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            s5_session_sent(s, (size_t)n);
            continue;
        }
        if (errno == EAGAIN) {
            int result = s5_api_await(fd, POLLOUT, until);
            if (result < 0)
                return result;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* One read for the session. 0, or the negative errno it ended with. */
static int read_in(struct s5_session *s, int fd, int64_t until)
{
    uint8_t in[S5_SESSION_IN_MAX];
    size_t need = s5_session_need(s);
    ssize_t n = recv(fd, in, need < sizeof(in) ? need : sizeof(in), MSG_DONTWAIT);
    if (n > 0)
        return s5_session_feed(s, in, (size_t)n);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n < 0 && errno == EAGAIN)
        return s5_api_await(fd, POLLIN, until);
    return s5_session_eof(s);
}

static bool over(const struct s5_session *s)
{
    return s5_session_state(s) == S5_SESSION_DONE || s5_session_state(s) == S5_SESSION_BOUND;
}

int s5_dial_negotiate(struct s5_session *s, int fd, int64_t until)
{
    while (!over(s)) {
        int result = send_out(s, fd, until);
        /* A server that hung up may have said why before: let the session read it. */
        if (result < 0 && result != -EPIPE && result != -ECONNRESET)
            return result;
        result = read_in(s, fd, until);
        if (result < 0)
            return result;
        if (s5_api_now() >= until && !over(s))
            return -ETIMEDOUT;
    }
    return 0;
}

/* Of an association zeros are asked for, of the family the server was reached by: some choose the
 * relay's by it. */
static struct s5_addr zeros_like(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    getpeername(fd, (struct sockaddr *)&sa, &len);
    return (struct s5_addr){.kind = sa.ss_family == AF_INET6 ? S5_ADDR_IPV6 : S5_ADDR_IPV4};
}

static int attempt(struct dial *d, const struct s5_addr *target, bool pipeline)
{
    d->settled = true;
    int fd = reach(d);
    if (fd < 0)
        return fd;
    struct s5_addr zeros = zeros_like(fd);
    if (d->command == S5_UDP_ASSOCIATE)
        target = &zeros;
    struct s5_session_setup setup = {
        .command = d->command,
        .dst = target,
        .n_methods = d->server->n_methods,
        .username = d->server->username,
        .username_len = d->server->username_len,
        .password = d->server->password,
        .password_len = d->server->password_len,
        .pipeline = pipeline,
    };
    memcpy(setup.methods, d->server->methods, sizeof(setup.methods));
    int64_t until = d->deadline;
    int64_t probe = s5_api_now() + PROBE_BASE_MS + PROBE_TRIPS * d->round_trip;
    if (pipeline && probe < until)
        until = probe;
    struct s5_session *s = d->session;
    int result = s5_session_start(s, &setup);
    if (result == 0) {
        result = s5_dial_negotiate(s, fd, until);
        /* REP 1 is also what servers say that took pipelined octets for a bad request. */
        d->settled = !pipeline || result == 0 || (s->have_rep && s->rep > 1);
    }
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

/* ---- Names ---- */

/* HOST as up to MAX addresses with PORT; their number, or -errno. */
static int resolve(const char *host, uint16_t port, struct s5_addr *ret, int max)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error == EAI_MEMORY)
        return -ENOMEM;
    if (error != 0)
        return -EHOSTUNREACH;
    int n = 0;
    for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
        if (s5_addr_from_sockaddr(&ret[n], i->ai_addr, i->ai_addrlen) == 0)
            ret[n++].port = port;
    }
    freeaddrinfo(list);
    return n > 0 ? n : -EHOSTUNREACH;
}

static int resolve_server(struct dial *d)
{
    struct s5_server *server = d->server;
    if (server->is_path || server->n_addrs > 0)
        return 0;
    struct s5_addr addrs[S5_SERVER_ADDRS];
    const char *host = s5_policy_text(d->policy, server->host);
    int n = resolve(host, server->port, addrs, S5_SERVER_ADDRS);
    for (int i = 0; i < n; i++) {
        server->addrs[i].kind = addrs[i].kind;
        memcpy(server->addrs[i].octets, addrs[i].octets, sizeof(addrs[i].octets));
        server->n_addrs++;
    }
    return n < 0 ? n : 0;
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
        result = attempt(d, &targets[i], true);
        if (result < 0 && !d->settled && s5_api_now() < d->deadline)
            result = attempt(d, &targets[i], false);
        if (result >= 0 || s5_api_now() >= d->deadline)
            break;
    }
    return result;
}

int64_t s5_dial_until(int timeout_ms)
{
    return s5_api_now() + (timeout_ms < 0 ? DEFAULT_MS : timeout_ms);
}

int s5_dial(const char *url, enum s5_command command, const char *host, uint16_t port,
            int timeout_ms, struct s5_session *session)
{
    struct dial d = {
        .command = command, .session = session, .deadline = s5_dial_until(timeout_ms)};
    struct s5_environment env = {0};
    struct s5_fault fault;
    d.policy = malloc(sizeof(*d.policy));
    if (!d.policy)
        return -ENOMEM;
    s5_policy_init(d.policy);
    int result = -EINVAL;
    if (s5_url_load(d.policy, url, "url", &env, &fault) == 0 && d.policy->n_servers == 1) {
        d.server = &d.policy->servers[0];
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
    struct s5_session session;
    s5_session_wipe(&session);
    int fd = s5_dial(url, S5_CONNECT, host, port, timeout_ms, &session);
    s5_session_wipe(&session);
    int result = fd < 0 ? fd : s5_dial_block(fd);
    if (fd >= 0 && result < 0)
        close(fd);
    return result < 0 ? result : fd;
}
