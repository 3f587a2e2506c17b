/* How a server behaves that cannot take the whole negotiation in one write, and how this differs from a refusal. */
#ifndef S5_PIPELINING_H
#define S5_PIPELINING_H

#include "clock.h"
#include "session.h"
#include <errno.h>

/* How long (ns) a pipelined negotiation may remain without an answer. ROUND_TRIP: the time of a round trip (ns). */
static inline uint64_t s5_pipelining_timeout(uint64_t round_trip)
{
    return S5_CLOCK_SECOND + 4 * round_trip;
}

/* Whether the failure ERROR of S may be due to pipelining alone: a close (CLOSED) without a reply, a reply of general
 * failure, an answer that is not SOCKS5, or no method, as from a server that considers the greeting too long. Any
 * other reply code is a refusal. */
static inline bool s5_pipelining_needs_check(const struct s5_session *s, int error, bool closed)
{
    if (s->have_rep)
        return s->rep == 1;
    return closed || error == -EPROTO || (s->failed_in == S5_SESSION_METHOD && error == -EACCES);
}

#endif
