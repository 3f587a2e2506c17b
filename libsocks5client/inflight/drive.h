/* The loop of a thread that is occupied with one negotiation until it ends: connect() of a blocking socket, BIND and
 * UDP ASSOCIATE. */
#ifndef S5_DRIVE_H
#define S5_DRIVE_H

#include "cleanup.h"
#include "clock.h"
#include "inflight.h"
#include "pool.h"
#include "registry.h"
#include "step.h"
#include <errno.h>

/* Waits, from NOW (ns), for the next step of F over FD, and continues what else is in flight meanwhile. INTERNAL: FD
 * is an internal descriptor, in no set of the program, and a signal does not end the wait. UNTIL: ns. Returns the
 * events; 0: a step is due, or a signal arrived; -EINPROGRESS: UNTIL passed; -EINTR; -errno. */
static inline __attribute__((always_inline)) int s5_drive_wait(struct s5_engine *e, const struct s5_negotiation *f,
                                                               int fd, bool internal, uint64_t until, uint64_t now)
{
    uint64_t due = atomic_load(&f->step_due);
    struct timespec left;
    struct pollfd p = {fd, atomic_load(&f->poll_events), 0};
    if (now >= until)
        return -EINPROGRESS;
    if (s5_negotiation_is_shared(f) && now + S5_POLL_INTERVAL < due)
        due = now + S5_POLL_INTERVAL;
    due = due < until ? due : until;
    int n;
    if (__builtin_expect(s5_registry_in_flight_count(&e->registry) > !internal, 0))
        n = s5_inflight_poll(e, &p, 1, due);
    else if ((n = e->real->ppoll(&p, 1, s5_clock_left(due, now, &left), NULL)) < 0)
        n = -errno;
    if (n == -EINTR)
        return internal || s5_inflight_restarts() ? 0 : -EINTR;
    return n < 0 ? n : p.revents;
}

/* Drives F to its end over FD, beginning with EVENTS (0: unknown). OWNER: the record whose descriptor FD is; NULL:
 * only the caller closes FD. INTERNAL, UNTIL: as for s5_drive_wait(). CALL, of TICKET, holds F; NULL: no jump or
 * cancellation ends the caller. 0: F is over; -EBADF: FD is no longer its socket; -EINPROGRESS: UNTIL passed; -EINTR;
 * -ECONNABORTED: what CALL held was released; -errno: of ppoll(). */
static inline __attribute__((always_inline)) int s5_drive(struct s5_engine *e, struct s5_negotiation *f,
                                                          const struct s5_record *owner, int fd, bool internal,
                                                          uint64_t until, short events, const struct s5_cleanup *call,
                                                          uint32_t ticket)
{
    int r = events;
    uint64_t sent = atomic_load_explicit(&f->sent, memory_order_relaxed), before = sent;
    for (;; before = sent) {
        enum s5_step result = s5_negotiation_step(e, f, owner, fd, (short)r);
        if (__builtin_expect(result >= S5_STEP_DONE, 0)) /* GONE: closed by a signal handler */
            return result == S5_STEP_DONE ? 0 : -EBADF;
        /* The step read the clock when it had written everything. */
        sent = atomic_load_explicit(&f->sent, memory_order_relaxed);
        r = s5_drive_wait(e, f, fd, internal, until, sent != before ? sent : s5_clock_now());
        if (__builtin_expect(call && !s5_cleanup_owns(call, ticket), 0))
            return -ECONNABORTED;
        if (r < 0)
            return r;
    }
}

#endif
