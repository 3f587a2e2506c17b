/* The loop in which a thread carries one negotiation to its end and does nothing else: connect() of a blocking socket,
 * BIND and UDP ASSOCIATE. */
#ifndef S5_DRIVE_H
#define S5_DRIVE_H

#include "cleanup.h"
#include "clock.h"
#include "inflight.h"
#include "pool.h"
#include "registry.h"
#include "step.h"
#include <errno.h>

/* Waits from NOW for the next turn of F over FD, and carries on what is in flight meanwhile: its events; 0: it is
 * due, or a signal came; -EINPROGRESS: UNTIL passed; -EINTR; -errno. HIDDEN: FD is the engine's own, in no program's
 * set, and a signal does not end what it is for. */
static inline __attribute__((always_inline)) int s5_drive_wait(struct s5_engine *e, const struct s5_negotiation *f,
                                                               int fd, bool internal, uint64_t until, uint64_t now)
{
    uint64_t wake = atomic_load(&f->step_due);
    struct timespec left;
    struct pollfd p = {fd, atomic_load(&f->poll_events), 0};
    if (now >= until)
        return -EINPROGRESS;
    if (s5_negotiation_is_shared(f) && now + S5_POLL_INTERVAL < wake)
        wake = now + S5_POLL_INTERVAL;
    wake = wake < until ? wake : until;
    int n;
    if (__builtin_expect(s5_registry_in_flight_count(&e->registry) > !internal, 0))
        n = s5_inflight_poll(e, &p, 1, wake);
    else if ((n = e->real->ppoll(&p, 1, s5_clock_left(wake, now, &left), NULL)) < 0)
        n = -errno;
    if (n == -EINTR)
        return internal || s5_inflight_restarts() ? 0 : -EINTR;
    return n < 0 ? n : p.revents;
}

/* F to its end over FD, beginning with EVENTS (0: they are not known). WHOSE: the record whose descriptor FD is,
 * NULL: nobody but the caller closes it. HIDDEN, UNTIL (ns): as s5_drive_wait. CALL, of TICKET, holds F; NULL: no
 * jump or cancellation ends the caller. 0: F is over; -EBADF: FD is not its socket any more; -EINPROGRESS: UNTIL
 * passed; -EINTR; -ECONNABORTED: what CALL held was given back; -errno: of ppoll(). */
static inline __attribute__((always_inline)) int s5_drive(struct s5_engine *e, struct s5_negotiation *f,
                                                          const struct s5_record *whose, int fd, bool internal,
                                                          uint64_t until, short events, const struct s5_cleanup *call,
                                                          uint32_t ticket)
{
    int r = events;
    uint64_t sent = atomic_load_explicit(&f->sent, memory_order_relaxed), before = sent;
    for (;; before = sent) {
        enum s5_step result = s5_negotiation_step(e, f, whose, fd, (short)r);
        if (__builtin_expect(result >= S5_STEP_DONE, 0)) /* GONE: closed by a signal's handler */
            return result == S5_STEP_DONE ? 0 : -EBADF;
        /* The turn looked at the clock when it had sent everything. */
        sent = atomic_load_explicit(&f->sent, memory_order_relaxed);
        r = s5_drive_wait(e, f, fd, internal, until, sent != before ? sent : s5_clock_now());
        if (__builtin_expect(call && !s5_cleanup_owns(call, ticket), 0))
            return -ECONNABORTED;
        if (r < 0)
            return r;
    }
}

#endif
