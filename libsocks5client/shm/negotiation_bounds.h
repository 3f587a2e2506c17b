/* What is read of a flight before it is used. A flight is in memory that other processes of the tree can write:
 * an index is made one of its array, a length one that fits, an errno one that there is. The session has more of
 * them, which are looked at together, under the flight's lock. */
#ifndef S5_NEGOTIATION_BOUNDS_H
#define S5_NEGOTIATION_BOUNDS_H

#include "auth.h"
#include "negotiation.h"
#include "policy.h"
#include <assert.h>
#include <errno.h>

static_assert((S5_POLICY_SERVERS & (S5_POLICY_SERVERS - 1)) == 0, "one operation bounds an index");

#define S5_NEGOTIATION_LONGEST                                                                                         \
    (2 * 3600 * S5_CLOCK_SECOND) /* that a deadline may be away: "timeout" is one hour at most */

static inline uint32_t s5_negotiation_server(const struct s5_negotiation *f)
{
    return f->server_index % S5_POLICY_SERVERS;
}

/* What F came to, a negative errno; 0: the kernel keeps it. */
static inline int s5_negotiation_error(const struct s5_negotiation *f)
{
    int error = f->error;
    return error <= 0 && error > -4096 ? error : -ECONNABORTED;
}

/* FROM, or none where its length is no address's. */
static inline struct s5_endpoint s5_endpoint_bounded(const struct s5_endpoint *from)
{
    struct s5_endpoint to = *from;
    to.len = to.len <= sizeof to.v6 ? to.len : 0;
    return to;
}

/* Whether the octets that go out and come in are within their buffers, and the answer that is awaited is one that
 * can be read. */
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
