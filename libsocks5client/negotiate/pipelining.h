/* What a server does that cannot take the whole negotiation in one flight, and how it is told from one that refuses. */
#ifndef S5_PIPELINING_H
#define S5_PIPELINING_H

#include "clock.h"
#include "session.h"
#include <errno.h>

/* How long (ns) such a flight may stay without an answer, where a round trip takes ROUND_TRIP. */
static inline uint64_t s5_pipelining_timeout(uint64_t round_trip)
{
    return S5_CLOCK_SECOND + 4 * round_trip;
}

/* Whether S failed with ERROR maybe only because it went out in one flight: by a close (CLOSED) without a reply, a
 * reply of general failure, an answer that is no SOCKS5, or no method, as of a server that finds the greeting too
 * long. What the server refused by name, it refused. */
static inline bool s5_pipelining_needs_check(const struct s5_session *s, int error, bool closed)
{
    if (s->have_rep)
        return s->rep == 1;
    return closed || error == -EPROTO || (s->failed_in == S5_SESSION_METHOD && error == -EACCES);
}

#endif
