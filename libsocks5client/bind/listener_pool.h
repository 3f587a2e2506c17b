/* The shared entries of listeners: references and the lock. */
#ifndef S5_LISTENER_POOL_H
#define S5_LISTENER_POOL_H

#include "engine.h"

/* As s5_negotiation_fork_cancel(). */
void s5_listener_fork_cancel(struct s5_engine *e, uint32_t number);

/* Takes a free entry, with a reference of this process; NULL: there is none. */
struct s5_listener *s5_listener_take(struct s5_engine *e);

/* Takes one more reference. False: GENERATION has ended. */
bool s5_listener_hold(struct s5_engine *e, struct s5_listener *l, uint32_t generation);

/* Releases one reference of GENERATION. The last one frees the entry. */
void s5_listener_release(struct s5_engine *e, struct s5_listener *l, uint32_t generation);
static inline uint32_t s5_listener_generation(const struct s5_listener *l)
{
    return s5_references_generation(&l->references);
}

/* The lock of the shared entry. A thread that cannot get it continues without it. */
bool s5_listener_try_lock(struct s5_engine *e, struct s5_listener *l);
void s5_listener_unlock(struct s5_listener *l);

#endif
