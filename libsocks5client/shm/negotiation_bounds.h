/* Bounds of what is read of a negotiation. A negotiation is in memory that other processes of the tree can write, so
 * every value is bounded before use: an index is made one of its array, a length one that fits, an errno an existing
 * one. The session's values are checked together, under the negotiation's lock. */
#ifndef S5_NEGOTIATION_BOUNDS_H
#define S5_NEGOTIATION_BOUNDS_H

#include "auth.h"
#include "negotiation.h"
#include "policy.h"
#include <assert.h>
#include <errno.h>

static_assert((S5_POLICY_SERVERS & (S5_POLICY_SERVERS - 1)) == 0, "one operation bounds an index");

/* The longest time (ns) until a deadline: "timeout" is one hour at most. */
#define S5_NEGOTIATION_LONGEST (2 * 3600 * S5_CLOCK_SECOND)

static inline uint32_t s5_negotiation_server(const struct s5_negotiation *f)
{
    return f->server_index % S5_POLICY_SERVERS;
}

/* Returns the index of the server that is hop number AT of F, which is in a chain. */
static inline uint32_t s5_negotiation_hop(const struct s5_negotiation *f, unsigned at)
{
    return f->chain.hops[at % S5_CHAIN_HOPS] % S5_POLICY_SERVERS;
}

/* Returns true if the session of F is with a hop of a chain that is not the last one. */
static inline bool s5_negotiation_is_on_the_way(const struct s5_negotiation *f)
{
    return __builtin_expect(f->chain.n, 0) && f->chain.at + 1 < f->chain.n;
}

/* Returns what the program connects to. */
static inline const struct s5_addr *s5_negotiation_destination(const struct s5_negotiation *f)
{
    return __builtin_expect(f->chain.n, 0) ? &f->chain.to : &f->session.dst;
}

static inline const char *s5_negotiation_server_name(const struct s5_policy *p, const struct s5_negotiation *f)
{
    return s5_policy_text(p, p->servers[s5_negotiation_server(f)].name);
}

/* Returns the error of F, a negative errno; 0: the kernel has it. */
static inline int s5_negotiation_error(const struct s5_negotiation *f)
{
    int error = f->error;
    return error <= 0 && error > -4096 ? error : -ECONNABORTED;
}

/* Returns a copy of FROM; its length is 0 where FROM's is not the length of an address. */
static inline struct s5_endpoint s5_endpoint_bounded(const struct s5_endpoint *from)
{
    struct s5_endpoint to = *from;
    to.len = to.len <= sizeof to.v6 ? to.len : 0;
    return to;
}

/* Returns whether the octets to send and those received are within their buffers, and the method whose answer is
 * awaited has a function that reads it. */
static inline bool s5_negotiation_is_whole(const struct s5_negotiation *f)
{
    const struct s5_session *s = &f->session;
    if (s->out_len > S5_SESSION_OUT_MAX || s->out_sent > s->out_len || s->in_len > S5_SESSION_IN_MAX ||
        s->in_at > s->in_len || s->state > S5_SESSION_FAILED || f->server.len > sizeof f->server.v6)
        return false;
    if (s->state != S5_SESSION_AUTH && !s->auth_queued)
        return true;
    const struct s5_auth *auth = s5_auth_find(s->method);
    return auth && auth->read;
}

#endif
