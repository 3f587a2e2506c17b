/* Where the entries of listeners come from and go to, and who may change one: references by the
 * processes that have one, named so that those of the killed are found out, and a lock. */
#include "listener.h"
#include <errno.h>

/* In the place of references, while the entry changes hands. */
#define BUSY UINT32_MAX

static uint64_t use(uint32_t generation, uint32_t refs)
{
    return (uint64_t)generation << 32 | refs;
}

/* --- who has it --- */

void s5_listener_hold(struct s5_listener *l, uint32_t process)
{
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++) {
        uint32_t nobody = 0;
        if (atomic_load(&l->holders[i]) == process ||
            atomic_compare_exchange_strong(&l->holders[i], &nobody, process))
            return;
    }
    atomic_store(&l->crowded, 1);
}

static void unhold(struct s5_listener *l, uint32_t process)
{
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++) {
        uint32_t holder = process;
        atomic_compare_exchange_strong(&l->holders[i], &holder, 0);
    }
}

bool s5_listener_held(const struct s5_listener *l, uint32_t process)
{
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++)
        if (atomic_load(&l->holders[i]) == process)
            return true;
    return false;
}

bool s5_listener_take_over(struct s5_engine *e, struct s5_listener *l)
{
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++) {
        uint32_t process = atomic_load(&l->holders[i]);
        if (s5_engine_has_ended(e, process) &&
            atomic_compare_exchange_strong(&l->holders[i], &process, atomic_load(&e->process_number)))
            return true;
    }
    return false;
}

/* Who had it is dead, without having closed it: killed, or a child that went as children go. */
static bool abandoned(struct s5_engine *e, const struct s5_listener *l)
{
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++) {
        uint32_t process = atomic_load(&l->holders[i]);
        if (process && !s5_engine_has_ended(e, process))
            return false;
    }
    return !atomic_load(&l->crowded);
}

/* --- references --- */

/* Free, or abandoned, which matters only when there are no others. */
static bool claim(struct s5_engine *e, struct s5_listener *l, bool dead_ones)
{
    uint64_t now = atomic_load(&l->use);
    uint32_t refs = (uint32_t)now, generation = (uint32_t)(now >> 32);
    if (refs == BUSY || (refs && !(dead_ones && abandoned(e, l))))
        return false;
    generation += refs != 0; /* survivors are told */
    if (!atomic_compare_exchange_strong(&l->use, &now, use(generation, BUSY)))
        return false;
    atomic_store(&l->cookie, 0);
    atomic_store(&l->lock, 0);
    for (unsigned i = 0; i < S5_TREE_HOLDERS; i++)
        atomic_store(&l->holders[i], 0);
    atomic_store(&l->crowded, 0);
    s5_listener_hold(l, atomic_load(&e->process_number));
    atomic_store(&l->use, use(generation, 1));
    return true;
}

struct s5_listener *s5_listener_take(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    int saved = errno;
    for (int dead_ones = 0; tree && dead_ones < 2; dead_ones++)
        for (uint32_t i = 0; i < S5_TREE_LISTENERS; i++) {
            struct s5_listener *l = &tree->listeners[i];
            if (!claim(e, l, dead_ones))
                continue;
            uint32_t used = atomic_load(&tree->listeners_used);
            while (used <= i &&
                   !atomic_compare_exchange_weak(&tree->listeners_used, &used, i + 1))
                ;
            errno = saved;
            return l;
        }
    return NULL;
}

bool s5_listener_pin(struct s5_listener *l, uint32_t generation)
{
    uint64_t now = atomic_load(&l->use);
    do {
        if ((uint32_t)now == 0 || (uint32_t)now == BUSY || now >> 32 != generation)
            return false;
    } while (!atomic_compare_exchange_weak(&l->use, &now, now + 1));
    return true;
}

/* Its place among the holders first: without a reference there might be another's entry in it. */
void s5_listener_release(struct s5_engine *e, struct s5_listener *l, uint32_t generation)
{
    unhold(l, atomic_load(&e->process_number));
    uint64_t now = atomic_load(&l->use), then;
    do {
        if ((uint32_t)now == 0 || (uint32_t)now == BUSY || now >> 32 != generation)
            return; /* it was taken for the dead's */
        then = (uint32_t)now == 1 ? use(generation + 1, BUSY) : now - 1;
    } while (!atomic_compare_exchange_weak(&l->use, &now, then));
    if ((uint32_t)then != BUSY)
        return;
    atomic_store(&l->cookie, 0);
    s5_session_wipe(&l->flight.session); /* before another has it */
    atomic_store(&l->use, use(generation + 1, 0));
}

/* --- the lock --- */

bool s5_listener_try(struct s5_engine *e, struct s5_listener *l)
{
    uint64_t holder = 0, self = s5_lock_token(e);
    if (atomic_compare_exchange_strong(&l->lock, &holder, self))
        return true;
    if (!s5_engine_has_ended(e, (uint32_t)(holder >> 32)))
        return false;
    if (!atomic_compare_exchange_strong(&l->lock, &holder, self))
        return false;
    l->bound = false; /* its holder was killed: what it left cannot be trusted */
    return true;
}

void s5_listener_unlock(struct s5_listener *l)
{
    atomic_store_explicit(&l->lock, 0, memory_order_release);
}
