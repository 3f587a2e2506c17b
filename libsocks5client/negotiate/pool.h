/* The pool of negotiations in shared memory: references and locks. */
#ifndef S5_POOL_H
#define S5_POOL_H

#include "engine.h"
#include "negotiation.h"

/* Returns the value of a lock that the calling thread holds: its process's number << 32 | a number of the thread. */
uint64_t s5_lock_token(const struct s5_engine *e);

/* The lock. try_lock fails if another thread holds it, or a frame of this thread that a signal handler interrupted.
 * lock waits some 2 s at most, and fails at once in a handler that interrupted a step. lock preserves errno. */
bool s5_negotiation_try_lock(struct s5_engine *e, struct s5_negotiation *f);
void s5_negotiation_unlock(struct s5_negotiation *f);
bool s5_negotiation_lock(struct s5_engine *e, struct s5_negotiation *f);

/* Whether a thread or process other than the caller's may step F. */
static inline bool s5_negotiation_is_shared(const struct s5_negotiation *f)
{
    return !S5_SINGLE_THREADED || s5_references_are_shared(&f->references);
}

/* Takes a negotiation from the pool, with one reference; NULL: none is left. */
struct s5_negotiation *s5_negotiation_take(struct s5_engine *e);
struct s5_negotiation *s5_negotiation_take_two(struct s5_engine *e); /* with two references */

/* Changes when the last reference is released. */
static inline uint32_t s5_negotiation_generation(const struct s5_negotiation *f)
{
    return s5_references_generation(&f->references);
}

/* hold: takes one more reference, so that F remains the same negotiation while it is used. False: GENERATION has
 * ended. release: releases one reference; the last one frees F. */
bool s5_negotiation_hold(struct s5_engine *e, struct s5_negotiation *f, uint32_t generation);
void s5_negotiation_release(struct s5_engine *e, struct s5_negotiation *f);

/* Releases the references that were reserved for the child NUMBER, except those that it has confirmed. */
void s5_negotiation_fork_cancel(struct s5_engine *e, uint32_t number);

/* --- calls and steps that were left --- */
/* The calling thread left a call that drove F, at any point. Other threads can continue F. */
void s5_negotiation_abandon(struct s5_engine *e, struct s5_negotiation *f);

/* The calling thread left a step of F, if it was in one. What the step wrote and read is unknown, so the negotiation
 * fails. */
void s5_negotiation_leave_step(struct s5_engine *e, struct s5_negotiation *f);

/* Returns how many references to F this process has; 0 if they are counted together with those of other processes. */
uint32_t s5_negotiation_own_references(const struct s5_engine *e, const struct s5_negotiation *f);

#endif
