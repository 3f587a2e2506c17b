/* The pool of negotiations in shared memory: references and locks. */
#ifndef S5_POOL_H
#define S5_POOL_H

#include "engine.h"
#include "negotiation.h"

uint64_t s5_lock_token(const struct s5_engine *e);

/* The lock; try fails when another thread holds it, or a frame below in this thread. */
bool s5_negotiation_try_lock(struct s5_engine *e, struct s5_negotiation *f);
void s5_negotiation_unlock(struct s5_negotiation *f);
bool s5_negotiation_lock(struct s5_engine *e,
                         struct s5_negotiation *f); /* waits, but in a signal handler within a turn */

/* Whether another thread or process than the caller's may carry F on. */
static inline bool s5_negotiation_is_shared(const struct s5_negotiation *f)
{
    return !S5_SINGLE_THREADED || s5_references_are_shared(&f->references);
}

/* Out of the tree's pool, with one reference; NULL when none is left. */
struct s5_negotiation *s5_negotiation_take(struct s5_engine *e);
struct s5_negotiation *s5_negotiation_take_two(struct s5_engine *e); /* with two */

/* It changes when the last one goes. */
static inline uint32_t s5_negotiation_generation(const struct s5_negotiation *f)
{
    return s5_references_generation(&f->references);
}

/* One more reference, so that it stays what it is while it is used; false: it is nobody's, or another's. */
bool s5_negotiation_hold(struct s5_engine *e, struct s5_negotiation *f, uint32_t generation);
void s5_negotiation_release(struct s5_engine *e, struct s5_negotiation *f);

/* The child NUMBER has none of the references that were taken for it, but for those it has confirmed. */
void s5_negotiation_fork_cancel(struct s5_engine *e, uint32_t number);

/* --- flight_pool.c --- */
/* The calling thread left a call that carried F on, at whatever point: others can go on with it. */
void s5_negotiation_abandon(struct s5_engine *e, struct s5_negotiation *f);

/* The calling thread has left a turn of F, if it is in one: what it wrote and read of it is not known, and the
 * negotiation fails. */
void s5_negotiation_leave_step(struct s5_engine *e, struct s5_negotiation *f);

/* How many references to F this process has; 0 where they are counted with those of others. */
uint32_t s5_negotiation_own_references(const struct s5_engine *e, const struct s5_negotiation *f);

#endif
