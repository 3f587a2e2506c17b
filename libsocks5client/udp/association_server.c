/* Requests an association from a server, on a connection of the engine's own. It is negotiated like any other (in one
 * round trip where the server cache allows it). The caller waits for it even where its socket is non-blocking: a
 * datagram cannot be sent before the relay's address is known, and there is nothing that a program could wait for
 * meanwhile.
 *
 * The request declares an address and port of zeros, of the control connection's family. Servers drop datagrams from
 * another port than the declared one, and some choose the relay's family by the declared address. */
#include "association_server.h"
#include "blocking.h"
#include "clock.h"
#include "complete.h"
#include "critical.h"
#include "drive.h"
#include "error.h"
#include "format.h"
#include "log_events.h"
#include "negotiation_bounds.h"
#include "next_server.h"
#include "pool.h"
#include "reply.h"
#include "resolve.h"
#include "step.h"
#include "udp_relay.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* How long a server is known not to support UDP, in ns. Programs try again with every datagram. */
#define REFUSED_FOR (10 * S5_CLOCK_SECOND)

static int negotiate_udp(struct s5_engine *e, struct s5_negotiation *f, int fd, const struct s5_server *server,
                         uint64_t timeout, const struct s5_cleanup *call, uint32_t ticket)
{
    struct s5_addr zeros = {.kind = f->server.any.sa_family == AF_INET ? S5_ADDR_IPV4 : S5_ADDR_IPV6};
    f->peer = f->server;
    f->cookie = 0;
    int r = s5_negotiation_begin_udp(e, f, server, &zeros);
    if (r == -EINVAL)
        s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" has no method that this program can use",
               s5_server_name(server));
    if (r < 0)
        return r == -EINVAL ? -EOPNOTSUPP : r;
    s5_negotiation_limit(f, s5_clock_now() + timeout);
    r = s5_negotiation_connect(e, f, fd, true, false);
    if (r < 0 && r != -EINPROGRESS) {
        s5_log_events_unreachable(e, s5_negotiation_server(f));
        s5_complete_log_unreachable(e, s5_negotiation_server(f), r);
        return r;
    }
    r = s5_drive(e, f, NULL, fd, true, S5_CLOCK_NEVER, r == 0 ? POLLOUT : 0, call, ticket);
    if (r < 0 || atomic_load(&f->phase) == S5_NEGOTIATION_READY)
        return r;
    return s5_complete_fetch_error(e, s5_negotiation_server(f), fd, s5_negotiation_error(f));
}

/* The error of a failed request: ERROR, or -EOPNOTSUPP. Servers that do not know the command close the connection after
 * they accepted everything before it. */
static int get_request_error(const struct s5_negotiation *f, int error)
{
    bool closed = error == -ECONNREFUSED && !f->session.have_rep && f->session.failed_in == S5_SESSION_REPLY &&
                  atomic_load(&f->phase) == S5_NEGOTIATION_FAILED && f->error;
    return closed ? -EOPNOTSUPP : error;
}

static void log_request_result(struct s5_engine *e, const struct s5_negotiation *f, const struct s5_server *server,
                               int r, const struct s5_endpoint *at, enum s5_log_level level)
{
    const char *name = s5_server_name(server);
    char text[S5_ADDR_TEXT_MAX];
    struct s5_addr addr;
    s5_log_events_other(e, server->index, S5_CMD_UDP, r >= 0);
    if (r < 0 && f->error)
        s5_log(&e->log, level, "refused: UDP through server \"%s\": %s (%s)", name,
               r == -EOPNOTSUPP ? "the server does not support UDP ASSOCIATE" : s5_error_text(r),
               s5_reply_why(f->session.have_rep, f->session.rep));
    else if (r >= 0 && s5_addr_from_sockaddr(&addr, &at->any, at->len) == 0)
        s5_log(&e->log, S5_LOG_INFO, "UDP through server \"%s\": relay %s", name,
               s5_addr_format(&addr, text, sizeof text));
}

/* Whether the kernel knows AT as a broadcast address of one of its links. A socket needs SO_BROADCAST for these. */
static bool is_broadcast(struct s5_engine *e, const struct s5_endpoint *at)
{
    struct s5_critical critical;
    s5_critical_begin(&critical);
    int fd = e->real->socket(at->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool broadcast = fd >= 0 && s5_engine_real_connect(e, fd, &at->any, at->len) == -EACCES;
    if (fd >= 0)
        e->real->close(fd);
    s5_critical_end(&critical);
    return broadcast;
}

/* Stores in RET where the datagrams of the association go. 0 or -errno. */
static int choose_relay(struct s5_engine *e, const struct s5_negotiation *f, const struct s5_server *server, int family,
                        struct s5_endpoint *ret)
{
    const struct s5_addr *bound = s5_session_bound(&f->session);
    struct s5_endpoint at = s5_endpoint_bounded(&f->server);
    struct s5_addr here, relay = *bound;
    char why[S5_UDP_RELAY_WHY] = "the address of the server is unknown", text[S5_ADDR_TEXT_MAX];
    int r = s5_addr_from_sockaddr(&here, &at.any, at.len);
    if (r == 0)
        r = s5_udp_relay_choose(s5_server_policy(server), server, &here, &relay, why);
    if (r == 0)
        r = s5_endpoint_of(&relay, family, &at);
    if (r == -EAFNOSUPPORT)
        s5_format(why, sizeof why, "an IPv4 socket cannot reach it");
    if (r == 0 && relay.kind == S5_ADDR_IPV4 && is_broadcast(e, &at)) {
        r = -EACCES;
        s5_format(why, sizeof why, "a multicast or broadcast address");
    }
    if (r == 0)
        *ret = at;
    else
        s5_log(&e->log, S5_LOG_ERROR, "refused: UDP through server \"%s\": relay %s: %s", s5_server_name(server),
               s5_addr_format(bound, text, sizeof text), why);
    return r;
}

/* Requests an association at the address IP of SERVER. A connected descriptor, or -errno. */
static int request_at_address(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                              const struct s5_ip *ip, int family, uint64_t timeout, struct s5_cleanup *call,
                              uint32_t ticket, struct s5_endpoint *ret)
{
    struct s5_addr addr = {.kind = ip->kind, .port = server->port};
    int own = ip->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
    memcpy(addr.octets, ip->octets, sizeof ip->octets);
    s5_endpoint_of(&addr, own, &f->server);
    int fd = s5_blocking_socket(e, call, own, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    int r = negotiate_udp(e, f, fd, server, timeout, call, ticket);
    if (!s5_cleanup_owns(call, ticket))
        return -ECONNABORTED;
    if (r == 0)
        r = choose_relay(e, f, server, family, ret);
    if (r == 0)
        return fd;
    e->real->close(fd); /* the thread may be cancelled here */
    call->fd[1] = -1;
    return r;
}

/* Whether IP is tried in PASS 0 or 1. Addresses of the socket's own family come first: the relay is likely to have the
 * family of the control connection. */
static bool is_in_pass(const struct s5_ip *ip, int family, int pass)
{
    bool same = (ip->kind == S5_ADDR_IPV4) == (family == AF_INET);
    return same == (pass == 0);
}

static int request_at_any_address(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                                  int family, uint64_t timeout, struct s5_cleanup *call, uint32_t ticket,
                                  struct s5_endpoint *ret)
{
    int r = -EHOSTUNREACH;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < server->n_addrs; i++) {
            if (!is_in_pass(&server->addrs[i], family, pass))
                continue;
            f->error = 0;
            r = request_at_address(e, f, server, &server->addrs[i], family, timeout, call, ticket, ret);
            /* A server that was reached is not tried at another address. */
            if (r >= 0 || !s5_cleanup_owns(call, ticket) || f->error)
                return r;
        }
    return r;
}

int s5_association_request(struct s5_engine *e, const struct s5_server *server, int family, uint64_t timeout,
                           enum s5_log_level level, struct s5_cleanup *call, uint32_t ticket,
                           struct s5_endpoint *ret_relay, bool *ret_down)
{
    uint32_t index = server->index;
    *ret_down = false;
    if (s5_clock_now() < atomic_load(&e->no_udp_until[index]))
        return -EOPNOTSUPP;
    if (server->n_hops) {
        s5_log(&e->log, level, "refused: UDP through chain \"%s\" is not supported",
               s5_policy_text(e->policy, server->name));
        return -EOPNOTSUPP;
    }
    int r = s5_resolve_server(e, server, level);
    struct s5_negotiation *f = r < 0 ? NULL : s5_negotiation_take(e);
    if (r < 0)
        return r;
    if (!f) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: too many connections are being negotiated");
        return -ENOBUFS;
    }
    s5_blocking_holds_one(call, f);
    f->error = 0;
    r = request_at_any_address(e, f, server, family, timeout, call, ticket, ret_relay);
    if (!s5_cleanup_owns(call, ticket))
        return r;
    if (r < 0)
        r = get_request_error(f, r);
    *ret_down = r < 0 && s5_next_server_is_needed(f);
    log_request_result(e, f, server, r, ret_relay, level);
    call->negotiation = NULL;
    s5_negotiation_release(e, f);
    if (r == -EOPNOTSUPP)
        atomic_store(&e->no_udp_until[index], s5_clock_now() + REFUSED_FOR);
    return r;
}
