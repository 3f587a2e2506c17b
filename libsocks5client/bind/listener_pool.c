/* The shared entries of listeners. References are counted by process, so that those of killed processes are found. A
 * lock protects the contents. */
#include "listener_pool.h"
#include "pool.h"
#include <errno.h>

static void free_listener(struct s5_listener *l)
{
    atomic_store(&l->cookie, 0);
    s5_session_wipe(&l->negotiation.session); /* before the entry is used again */
    s5_references_end(&l->references);
}

/* Claims L if it is free. DEAD_ONES: also if it belongs to processes that have ended without closing it, killed or
 * children that exited. These are only looked for when no other entry is free. */
static bool claim_listener(struct s5_engine *e, struct s5_listener *l, bool dead_ones)
{
    uint32_t self = atomic_load(&e->process_number);
    if (dead_ones && s5_references_sweep(&l->references, atomic_load(&e->shm_fd), self, true))
        free_listener(l);
    if (!s5_references_claim(&l->references))
        return false;
    atomic_store(&l->cookie, 0);
    atomic_store(&l->lock, 0);
    s5_references_begin(&l->references, self, 1);
    return true;
}

struct s5_listener *s5_listener_take(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    int saved = errno;
    for (int dead_ones = 0; shm && dead_ones < 2; dead_ones++)
        for (uint32_t i = 0; i < S5_SHM_LISTENERS; i++) {
            struct s5_listener *l = &shm->listeners[i];
            if (!claim_listener(e, l, dead_ones))
                continue;
            uint32_t used = atomic_load(&shm->listeners_used);
            while (used <= i && !atomic_compare_exchange_weak(&shm->listeners_used, &used, i + 1))
                ;
            errno = saved;
            return l;
        }
    return NULL;
}

bool s5_listener_hold(struct s5_engine *e, struct s5_listener *l, uint32_t generation)
{
    return s5_references_take(&l->references, generation, atomic_load(&e->process_number));
}

void s5_listener_release(struct s5_engine *e, struct s5_listener *l, uint32_t generation)
{
    if (s5_listener_generation(l) == generation && /* else it was reclaimed */
        s5_references_release(&l->references, atomic_load(&e->process_number)))
        free_listener(l);
}

void s5_listener_fork_cancel(struct s5_engine *e, uint32_t number)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t used = atomic_load(&shm->listeners_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++)
        if (s5_references_take_back(&shm->listeners[i].references, number))
            free_listener(&shm->listeners[i]);
}

/* --- the lock --- */

bool s5_listener_try_lock(struct s5_engine *e, struct s5_listener *l)
{
    uint64_t holder = 0, self = s5_lock_token(e);
    if (atomic_compare_exchange_strong(&l->lock, &holder, self))
        return true;
    if (!s5_engine_has_ended(e, (uint32_t)(holder >> 32)))
        return false;
    if (!atomic_compare_exchange_strong(&l->lock, &holder, self))
        return false;
    l->bound = false; /* the holder was killed: the state that it left is not trusted */
    return true;
}

void s5_listener_unlock(struct s5_listener *l)
{
    atomic_store_explicit(&l->lock, 0, memory_order_release);
}
