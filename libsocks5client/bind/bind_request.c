/* One BIND. An internal socket is connected to the server and negotiates there, with only this thread to drive the
 * negotiation: the program that asked for a listener needs its address, so there is nothing to do but wait. Then the
 * connection is idle until the second reply. */
#include "bind_request.h"
#include "blocking.h"
#include "clock.h"
#include "complete.h"
#include "drive.h"
#include "error.h"
#include "internal_fd.h"
#include "last_peer.h"
#include "log_events.h"
#include "negotiation_bounds.h"
#include "next_server.h"
#include "reply.h"
#include "resolve.h"
#include "step.h"
#include <errno.h>
#include <string.h>

/* Zeros of the family in which peers can connect to the listener. A listener for both families uses the one in which
 * its program connected last. */
static struct s5_addr make_wildcard(struct s5_engine *e, const struct s5_listener *l)
{
    bool v4 = l->family == AF_INET || (l->dual && s5_last_peer_kind(atomic_load(&e->shm)) == S5_ADDR_IPV4);
    struct s5_addr zeros;
    memset(&zeros, 0, sizeof zeros);
    zeros.kind = v4 ? S5_ADDR_IPV4 : S5_ADDR_IPV6;
    return zeros;
}

/* Returns the error of F, which is over; 0: none. */
static int get_error(struct s5_engine *e, const struct s5_negotiation *f, int fd)
{
    if (atomic_load(&f->phase) == S5_NEGOTIATION_FAILED && f->error == 0) /* never reached: the kernel has the error */
        return s5_complete_fetch_error(e, s5_negotiation_server(f), fd, 0);
    /* A server that does not support BIND closes the connection after it accepted everything before. */
    if (f->error == -ECONNREFUSED && !f->session.have_rep && f->session.failed_in == S5_SESSION_REPLY)
        return -EOPNOTSUPP;
    return s5_negotiation_error(f);
}

/* What a BIND request is made with. */
struct bind_call {
    const struct s5_server *server;
    uint64_t until; /* ns */
    struct s5_cleanup *call;
    uint32_t ticket;
};

/* Requests BIND for DST over FD, which is not connected. 0 or -errno. */
static int negotiate_bind(struct s5_engine *e, struct s5_negotiation *f, int fd, const struct bind_call *c,
                          const struct s5_addr *dst)
{
    atomic_store(&f->lock, 0);
    atomic_store(&f->phase, S5_NEGOTIATION_TAKEN);
    int r = s5_negotiation_begin_bind(e, f, c->server, dst);
    if (r < 0)
        return r == -EINVAL ? -EOPNOTSUPP : r;
    s5_negotiation_limit(f, c->until);
    r = s5_negotiation_connect(e, f, fd, true, false);
    if (r < 0 && r != -EINPROGRESS && r != -EINTR) /* a signal ends the call, not the attempt */
        return r;
    r = s5_drive(e, f, NULL, fd, true, S5_CLOCK_NEVER, r == 0 ? POLLOUT : 0, c->call, c->ticket);
    return r < 0 ? r : get_error(e, f, fd);
}

/* Makes an unconnected socket for the server at IP and PORT, of FAMILY if possible. *RET: the server's address.
 * Returns the descriptor, or -errno. */
static int make_server_socket(struct s5_engine *e, const struct s5_ip *ip, uint16_t port, int family,
                              struct s5_cleanup *call, struct s5_endpoint *ret)
{
    struct s5_addr addr = {.kind = ip->kind, .port = port};
    memcpy(addr.octets, ip->octets, sizeof ip->octets);
    if (s5_endpoint_of(&addr, family, ret) < 0 && s5_endpoint_of(&addr, family = AF_INET6, ret) < 0)
        return -EAFNOSUPPORT;
    return s5_blocking_socket(e, call, family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static int request_bind(struct s5_engine *e, struct s5_listener *l, const struct bind_call *c,
                        const struct s5_addr *dst, struct s5_endpoint *ret)
{
    const struct s5_server *server = c->server;
    int r = -EHOSTUNREACH;
    for (unsigned i = 0; i < server->n_addrs; i++) {
        int fd = make_server_socket(e, &server->addrs[i], server->port, l->family, c->call, &l->negotiation.server);
        r = fd;
        if (fd < 0)
            continue;
        r = negotiate_bind(e, &l->negotiation, fd, c, dst);
        if (!s5_cleanup_owns(c->call, c->ticket))
            return -ECONNABORTED;
        if (r == 0)
            r = s5_negotiation_bound_address(e, &l->negotiation, l->family, ret);
        struct s5_critical critical;
        s5_critical_begin(&critical);
        int internal = r == 0 ? s5_internal_fd_take(e, fd) : -1;
        if (r < 0)
            e->real->close(fd);
        c->call->fd[1] = -1;
        s5_critical_end(&critical);
        if (r == 0)
            return internal;
        if (atomic_load(&l->negotiation.phase) > S5_NEGOTIATION_DIALING)
            break; /* it was reached: no other address is better */
    }
    return r;
}

static void log_result(struct s5_engine *e, const struct s5_listener *l, const struct s5_server *server, int r,
                       const struct s5_endpoint *at, enum s5_log_level level)
{
    const char *name = s5_server_name(server);
    char text[S5_ADDR_TEXT_MAX];
    struct s5_addr addr;
    s5_log_events_other(e, server->index, S5_CMD_BIND, r >= 0);
    if (r < 0)
        s5_log(&e->log, level, "refused: listening at server \"%s\": %s (%s)", name,
               r == -EOPNOTSUPP ? "the server does not support BIND" : s5_error_text(r),
               s5_reply_why(l->negotiation.session.have_rep, l->negotiation.session.rep));
    else if (s5_addr_from_sockaddr(&addr, &at->any, at->len) == 0)
        s5_log(&e->log, S5_LOG_INFO, "listening at server \"%s\": %s", name, s5_addr_format(&addr, text, sizeof text));
}

int s5_bind_request(struct s5_engine *e, struct s5_listener *l, const struct s5_server *server, uint64_t until,
                    enum s5_log_level level, struct s5_cleanup *call, uint32_t ticket, struct s5_endpoint *ret,
                    bool *ret_down)
{
    const struct bind_call c = {server, until, call, ticket};
    struct s5_addr dst, zeros = make_wildcard(e, l);
    int r = s5_resolve_server(e, server, level);
    *ret_down = r < 0;
    bool expected = s5_last_peer_expects(atomic_load(&e->shm), atomic_load(&e->pid), &dst);
    if (r == 0)
        r = request_bind(e, l, &c, expected ? &dst : &zeros, ret);
    if (r == -EAFNOSUPPORT && expected) /* it bound an address of its peer's family: accept any peer then */
        r = request_bind(e, l, &c, &zeros, ret);
    if (r < 0 && l->dual && l->negotiation.session.have_rep && l->negotiation.session.rep) {
        zeros.kind = zeros.kind == S5_ADDR_IPV4 ? S5_ADDR_IPV6 : S5_ADDR_IPV4;
        r = request_bind(e, l, &c, &zeros, ret);
    }
    if (s5_cleanup_owns(call, ticket)) {
        *ret_down |= r < 0 && s5_next_server_is_needed(&l->negotiation);
        log_result(e, l, server, r < 0 ? r : 0, ret, level);
        if (r >= 0)
            s5_negotiation_await_next_reply(&l->negotiation);
    }
    return r;
}

/* --- further requests --- */

int s5_bind_request_socket(struct s5_engine *e, const struct s5_listener *l)
{
    int fd = e->real->socket(l->negotiation.server.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

bool s5_bind_request_has_rule(const struct s5_policy *p, const struct s5_listener *l)
{
    return l->rule && l->rule <= p->n_rules && l->generation == s5_policy_file_of(p)->generation;
}

unsigned s5_bind_request_limit(const struct s5_engine *e, const struct s5_listener *l)
{
    const struct s5_policy *p = e->policy;
    return p && s5_bind_request_has_rule(p, l) ? p->rules[l->rule - 1].timeout : 0;
}

int s5_bind_request_repeat(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                           const struct s5_listener *l)
{
    struct s5_addr dst = *s5_negotiation_destination(&l->negotiation), expected;
    if (s5_last_peer_expects(atomic_load(&e->shm), atomic_load(&e->pid), &expected))
        dst = expected;
    int r = s5_negotiation_begin_bind(e, f, server, &dst);
    unsigned most = r == 0 ? s5_bind_request_limit(e, l) : 0;
    if (most)
        s5_negotiation_limit(f, s5_clock_now() + most * S5_CLOCK_SECOND);
    return r;
}

int s5_bind_request_bound(struct s5_engine *e, struct s5_listener *l, const struct s5_negotiation *f, int fd,
                          bool ready, struct s5_endpoint *ret)
{
    int r;
    if (ready) {
        memcpy(&l->negotiation, f, sizeof l->negotiation);
        atomic_store(&l->negotiation.lock, 0);
        r = s5_negotiation_bound_address(e, &l->negotiation, l->family, ret);
    } else {
        r = get_error(e, f, fd);
        r = r < 0 ? r : -ETIMEDOUT;
        l->negotiation.session.have_rep = f->session.have_rep; /* for the log line */
        l->negotiation.session.rep = f->session.rep;
    }
    log_result(e, l, &e->policy->servers[s5_negotiation_server(&l->negotiation)], r, ret, S5_LOG_ERROR);
    if (r == 0)
        s5_negotiation_await_next_reply(&l->negotiation);
    return r;
}

/* --- the second reply --- */

/* Stores the peer in *RET, in the listener's family. An address cannot express a name: it is zeros then. */
static void get_peer(const struct s5_listener *l, struct s5_endpoint *ret)
{
    struct s5_addr from = *s5_session_bound(&l->negotiation.session);
    if (s5_endpoint_of(&from, l->family, ret) < 0) {
        struct s5_addr unknown = {.kind = l->family == AF_INET ? S5_ADDR_IPV4 : S5_ADDR_IPV6, .port = from.port};
        s5_endpoint_of(&unknown, l->family, ret);
    }
}

int s5_bind_request_accepted(struct s5_engine *e, struct s5_listener *l, int control, struct s5_endpoint *ret)
{
    struct s5_negotiation *f = &l->negotiation;
    enum s5_step result;
    do
        result = s5_negotiation_step(e, f, NULL, control, 0);
    while (result == S5_STEP_MOVED);
    if (result != S5_STEP_DONE)
        return -EAGAIN;
    if (atomic_load(&f->phase) == S5_NEGOTIATION_READY) {
        get_peer(l, ret);
        return 0;
    }
    return f->error ? s5_negotiation_error(f) : -ECONNABORTED;
}
