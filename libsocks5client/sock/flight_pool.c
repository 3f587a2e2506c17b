/* Where flights come from and go to, and who may carry one on: a lock-free list of free ones in the
 * memory the processes share, and a lock that names its holder, so that one that was killed is
 * found out. */
#include "clock.h"
#include "engine.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

/* --- the pool --- */

static bool claim(struct s5_flight *f)
{
    f->deadline = S5_CLOCK_NEVER / 2; /* not reclaimed before s5_flight_begin sets its own */
    atomic_store(&f->lock, 0);
    atomic_store(&f->refs, 1);
    atomic_store(&f->missed, 0);
    atomic_store(&f->phase, S5_FLIGHT_TAKEN);
    return true;
}

/* Flights of processes that were killed keep their references for ever; long past every deadline
 * they are anybody's. Their generation tells late survivors. */
static struct s5_flight *reclaim(struct s5_tree *tree)
{
    uint64_t now = s5_clock_now();
    uint32_t from = atomic_load(&tree->reclaim_at);
    for (uint32_t i = 0; i < S5_TREE_FLIGHTS; i++) {
        struct s5_flight *f = &tree->flights[(from + i) % S5_TREE_FLIGHTS];
        uint32_t generation = atomic_load(&f->generation);
        if (atomic_load(&f->phase) == S5_FLIGHT_FREE || now < f->deadline + 60 * S5_CLOCK_SECOND)
            continue;
        if (atomic_compare_exchange_strong(&f->generation, &generation, generation + 1)) {
            atomic_store(&tree->reclaim_at, from + i + 1);
            claim(f);
            return f;
        }
    }
    return NULL;
}

/* Memory for the next flights at one blow: whoever has several in flight has many, and page by page
 * it takes a fault for nearly each, which on a virtual machine is what a connect() costs most. */
static void make_room(struct s5_flight *fresh, uint32_t at)
{
    enum { AHEAD = 32 };
    int saved = errno;
    uintptr_t from = ((uintptr_t)fresh + 4095) & ~(uintptr_t)4095;
    if (at % AHEAD == 1 && at + AHEAD <= S5_TREE_FLIGHTS)
        madvise((void *)from, AHEAD * sizeof *fresh, MADV_POPULATE_WRITE);
    errno = saved;
}

static struct s5_flight *take_fresh(struct s5_tree *tree)
{
    uint32_t at = atomic_load(&tree->flights_used);
    while (at < S5_TREE_FLIGHTS)
        if (atomic_compare_exchange_weak(&tree->flights_used, &at, at + 1)) {
            make_room(&tree->flights[at], at);
            claim(&tree->flights[at]);
            return &tree->flights[at];
        }
    return reclaim(tree);
}

struct s5_flight *s5_flight_take(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    if (!tree)
        return NULL;
    uint64_t head = atomic_load(&tree->flights_free);
    while ((uint32_t)head && (uint32_t)head <= S5_TREE_FLIGHTS) {
        struct s5_flight *f = &tree->flights[(uint32_t)head - 1];
        uint64_t next = ((head >> 32) + 1) << 32 |
                        atomic_load_explicit(&f->next_free, memory_order_relaxed);
        if (atomic_compare_exchange_weak(&tree->flights_free, &head, next) && claim(f))
            return f;
    }
    return take_fresh(tree);
}

bool s5_flight_pin(struct s5_flight *f, uint32_t generation)
{
    uint32_t refs = atomic_load(&f->refs);
    do {
        if (!refs || atomic_load(&f->generation) != generation)
            return false;
    } while (!atomic_compare_exchange_weak(&f->refs, &refs, refs + 1));
    return true;
}

void s5_flight_release(struct s5_engine *e, struct s5_flight *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    struct s5_tree *tree = atomic_load(&e->tree);
    if (s5_session_state(&f->session) != S5_SESSION_DONE) /* then its secrets are gone already */
        s5_session_wipe(&f->session);
    atomic_store(&f->phase, S5_FLIGHT_FREE);
    uint32_t self = (uint32_t)(f - tree->flights) + 1;
    uint64_t head = atomic_load(&tree->flights_free), next;
    do {
        atomic_store_explicit(&f->next_free, (uint32_t)head, memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | self;
    } while (!atomic_compare_exchange_weak(&tree->flights_free, &head, next));
}

/* --- the lock --- */

uint64_t s5_lock_token(const struct s5_engine *e)
{
    uintptr_t thread = (uintptr_t)pthread_self();
    return (uint64_t)atomic_load_explicit(&e->process_number, memory_order_relaxed) << 32 |
           (uint32_t)(thread >> 6) | 1;
}

static __attribute__((noinline, cold)) bool inherit(struct s5_engine *e, struct s5_flight *f,
                                                    uint64_t holder)
{
    if (!s5_engine_has_ended(e, (uint32_t)(holder >> 32)))
        return false;
    /* Its holder was killed in the middle of a turn: what it left cannot be trusted. */
    if (!atomic_compare_exchange_strong(&f->lock, &holder, s5_lock_token(e)))
        return false;
    s5_session_abort(&f->session, -ECONNABORTED);
    return true;
}

bool s5_flight_try(struct s5_engine *e, struct s5_flight *f)
{
    uint64_t holder = 0;
    if (__builtin_expect(atomic_compare_exchange_strong(&f->lock, &holder, s5_lock_token(e)), 1))
        return true;
    return inherit(e, f, holder);
}

void s5_flight_unlock(struct s5_flight *f)
{
    atomic_store(&f->lock, 0); /* before knocked is looked at */
}

/* A turn takes microseconds, unless its process is stopped. */
bool s5_flight_lock(struct s5_engine *e, struct s5_flight *f)
{
    const struct timespec pause = {0, 1000000};
    enum { YIELDS = 100, PAUSES = 2000 };
    int saved = errno;
    for (int i = 0; !s5_flight_try(e, f); i++) {
        if (i > YIELDS + PAUSES || atomic_load(&f->lock) == s5_lock_token(e)) {
            errno = saved;
            return false;
        }
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&pause, NULL);
    }
    errno = saved;
    return true;
}
