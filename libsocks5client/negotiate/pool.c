/* The pool of negotiations, and the lock of a negotiation. Free negotiations are in a lock-free list in shared memory.
 * The lock names its holder, so that a holder that was killed is detected. */
#include "pool.h"
#include "clock.h"
#include "engine.h"
#include "in_engine.h"
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

/* --- the pool --- */

static inline struct s5_negotiation *claim_negotiation(struct s5_engine *e, struct s5_negotiation *f, uint32_t count)
{
    /* Threads of this process changed F before they released its lock and their references. These loads make the
     * changes visible here, also where another process put F on the list. */
    (void)atomic_load_explicit(&f->lock, memory_order_acquire);
    (void)atomic_load_explicit(&f->references.by[0], memory_order_acquire);
    f->deadline = S5_CLOCK_NEVER / 2; /* not reclaimed before s5_negotiation_begin() sets the real one */
    atomic_store_explicit(&f->lock, 0, memory_order_relaxed);
    atomic_store_explicit(&f->rearm, 0, memory_order_relaxed);
    atomic_store_explicit(&f->phase, S5_NEGOTIATION_TAKEN, memory_order_relaxed);
    s5_references_begin(&f->references, atomic_load_explicit(&e->process_number, memory_order_relaxed), count);
    return f;
}

static void free_negotiation(struct s5_shm *shm, struct s5_negotiation *f)
{
    if (s5_session_state(&f->session) != S5_SESSION_DONE) /* when DONE, its secrets are already erased */
        s5_session_wipe(&f->session);
    atomic_store(&f->phase, S5_NEGOTIATION_FREE);
    s5_references_end(&f->references);
    uint32_t self = (uint32_t)(f - shm->negotiations) + 1;
    uint64_t head = atomic_load(&shm->negotiations_free), next;
    do {
        atomic_store_explicit(&f->next_free, (uint32_t)head, memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | self;
    } while (!atomic_compare_exchange_weak(&shm->negotiations_free, &head, next));
}

/* Frees what processes that have ended still refer to. RESERVED: also what was reserved for children that never
 * started. */
static __attribute__((noinline, cold)) void sweep_negotiations(struct s5_engine *e, struct s5_shm *shm, bool reserved)
{
    uint32_t used = atomic_load(&shm->negotiations_used), self = atomic_load(&e->process_number);
    for (uint32_t i = 0; i < used && i < S5_SHM_NEGOTIATIONS; i++)
        if (s5_references_sweep(&shm->negotiations[i].references, atomic_load(&e->shm_fd), self, reserved))
            free_negotiation(shm, &shm->negotiations[i]);
}

/* Reuses a negotiation that is 60 s past its deadline, where no check finds the processes that have ended. A late
 * holder detects this by the generation. */
static struct s5_negotiation *reclaim_negotiation(struct s5_engine *e, struct s5_shm *shm, uint32_t count)
{
    uint64_t now = s5_clock_now();
    uint32_t from = atomic_load(&shm->reclaim_at);
    for (uint32_t i = 0; i < S5_SHM_NEGOTIATIONS; i++) {
        struct s5_negotiation *f = &shm->negotiations[(from + i) % S5_SHM_NEGOTIATIONS];
        uint32_t generation = s5_negotiation_generation(f);
        if (atomic_load(&f->phase) == S5_NEGOTIATION_FREE || now < f->deadline + 60 * S5_CLOCK_SECOND)
            continue;
        if (s5_references_seize(&f->references, generation)) {
            atomic_store(&shm->reclaim_at, from + i + 1);
            return claim_negotiation(e, f, count);
        }
    }
    return NULL;
}

/* Populates the memory of the next negotiations at once. A process with several negotiations in flight usually has
 * many. Page by page, nearly each of them would cause a page fault, which is the largest part of the cost of a
 * connect() on a virtual machine. */
static void populate_memory(struct s5_negotiation *fresh, uint32_t at)
{
    enum { AHEAD = 32 };
    int saved = errno;
    uintptr_t from = ((uintptr_t)fresh + 4095) & ~(uintptr_t)4095;
    if (at % AHEAD == 1 && at + AHEAD <= S5_SHM_NEGOTIATIONS)
        madvise((void *)from, AHEAD * sizeof *fresh, MADV_POPULATE_WRITE);
    errno = saved;
}

static struct s5_negotiation *take_fresh_negotiation(struct s5_engine *e, struct s5_shm *shm, uint32_t count)
{
    uint32_t at = atomic_load(&shm->negotiations_used);
    if (at < S5_SHM_NEGOTIATIONS) /* before one is taken: a handler may run when this returns, and jump */
        populate_memory(&shm->negotiations[at], at);
    while (at < S5_SHM_NEGOTIATIONS)
        if (atomic_compare_exchange_weak(&shm->negotiations_used, &at, at + 1)) {
            return claim_negotiation(e, &shm->negotiations[at], count);
        }
    return NULL;
}

static inline struct s5_negotiation *take_free_negotiation(struct s5_engine *e, struct s5_shm *shm, uint32_t count)
{
    uint64_t head = atomic_load(&shm->negotiations_free);
    while ((uint32_t)head && (uint32_t)head <= S5_SHM_NEGOTIATIONS) {
        struct s5_negotiation *f = &shm->negotiations[(uint32_t)head - 1];
        uint64_t next = ((head >> 32) + 1) << 32 | atomic_load_explicit(&f->next_free, memory_order_relaxed);
        if (atomic_compare_exchange_weak(&shm->negotiations_free, &head, next))
            return claim_negotiation(e, f, count);
    }
    return NULL;
}

/* Before many more negotiations begin, those of killed processes are freed: each time the number in use has doubled,
 * from 64 on, and whenever all are in use. */
static __attribute__((noinline)) struct s5_negotiation *take_negotiation_slowly(struct s5_engine *e, struct s5_shm *shm,
                                                                                uint32_t count)
{
    enum { MANY = 64 };
    uint32_t used = atomic_load(&shm->negotiations_used);
    bool all = used >= S5_SHM_NEGOTIATIONS;
    if (all || (used >= MANY && !(used & (used - 1))))
        sweep_negotiations(e, shm, all);
    struct s5_negotiation *f = take_free_negotiation(e, shm, count);
    if (!f)
        f = take_fresh_negotiation(e, shm, count);
    return f ? f : reclaim_negotiation(e, shm, count);
}

/* Another thread moves the process to a private copy of the shared state (process/leave.c), and F may be missing
 * there. F is released, and another one is taken from the new state. */
static __attribute__((noinline, cold)) struct s5_negotiation *
take_negotiation_after_leave(struct s5_engine *e, struct s5_negotiation *f, uint32_t count)
{
    const struct timespec pause = {0, 1000000};
    int saved = errno;
    while (f && atomic_load(&e->leaving)) {
        for (uint32_t i = 0; i < count; i++)
            s5_negotiation_release(e, f);
        while (atomic_load(&e->leaving))
            nanosleep(&pause, NULL);
        struct s5_shm *shm = atomic_load(&e->shm);
        f = take_free_negotiation(e, shm, count);
        if (!f)
            f = take_negotiation_slowly(e, shm, count);
        atomic_thread_fence(memory_order_seq_cst);
    }
    errno = saved;
    return f;
}

static inline __attribute__((always_inline)) struct s5_negotiation *take_negotiation(struct s5_engine *e,
                                                                                     uint32_t count)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    if (!shm)
        return NULL;
    struct s5_negotiation *f = take_free_negotiation(e, shm, count);
    if (__builtin_expect(!f, 0))
        f = take_negotiation_slowly(e, shm, count);
    /* Either the thread that leaves the shared state sees this negotiation, or this thread sees E->leaving.
     * process/leave.c orders both accesses. */
    atomic_signal_fence(memory_order_seq_cst);
    return __builtin_expect(atomic_load_explicit(&e->leaving, memory_order_relaxed), 0)
               ? take_negotiation_after_leave(e, f, count)
               : f;
}

struct s5_negotiation *s5_negotiation_take(struct s5_engine *e)
{
    return take_negotiation(e, 1);
}

struct s5_negotiation *s5_negotiation_take_two(struct s5_engine *e)
{
    return take_negotiation(e, 2);
}

bool s5_negotiation_hold(struct s5_engine *e, struct s5_negotiation *f, uint32_t generation)
{
    return s5_references_take(&f->references, generation,
                              atomic_load_explicit(&e->process_number, memory_order_relaxed));
}

uint32_t s5_negotiation_own_references(const struct s5_engine *e, const struct s5_negotiation *f)
{
    return s5_references_of(&f->references, atomic_load_explicit(&e->process_number, memory_order_relaxed));
}

void s5_negotiation_release(struct s5_engine *e, struct s5_negotiation *f)
{
    if (s5_references_release(&f->references, atomic_load_explicit(&e->process_number, memory_order_relaxed)))
        free_negotiation(atomic_load(&e->shm), f);
}

void s5_negotiation_fork_cancel(struct s5_engine *e, uint32_t number)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t used = atomic_load(&shm->negotiations_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_NEGOTIATIONS; i++)
        if (s5_references_take_back(&shm->negotiations[i].references, number))
            free_negotiation(shm, &shm->negotiations[i]);
}

/* --- the lock --- */

/* A number of the thread: where its thread-local variables are. */
#ifndef S5_THREAD
#define S5_THREAD ((uintptr_t)&s5_in_engine)
#endif

uint64_t s5_lock_token(const struct s5_engine *e)
{
    uintptr_t thread = S5_THREAD;
    return (uint64_t)atomic_load_explicit(&e->process_number, memory_order_relaxed) << 32 | (uint32_t)(thread >> 6);
}

static __attribute__((noinline, cold)) bool inherit_negotiation_lock(struct s5_engine *e, struct s5_negotiation *f,
                                                                     uint64_t holder)
{
    if (!s5_engine_has_ended(e, (uint32_t)(holder >> 32)))
        return false;
    /* The holder was killed during a step: the state that it left is not trusted. */
    if (!atomic_compare_exchange_strong(&f->lock, &holder, s5_lock_token(e)))
        return false;
    s5_session_abort(&f->session, -ECONNABORTED);
    return true;
}

bool s5_negotiation_try_lock(struct s5_engine *e, struct s5_negotiation *f)
{
    uint64_t holder = 0;
    if (__builtin_expect(atomic_compare_exchange_strong(&f->lock, &holder, s5_lock_token(e)), 1))
        return true;
    return inherit_negotiation_lock(e, f, holder);
}

void s5_negotiation_unlock(struct s5_negotiation *f)
{
    atomic_store(&f->lock, 0); /* before event_pending is read */
}

/* A step takes microseconds, unless its process is stopped. */
bool s5_negotiation_lock(struct s5_engine *e, struct s5_negotiation *f)
{
    const struct timespec pause = {0, 1000000};
    enum { YIELDS = 100, PAUSES = 2000 };
    int saved = errno;
    for (int i = 0; !s5_negotiation_try_lock(e, f); i++) {
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

void s5_negotiation_leave_step(struct s5_engine *e, struct s5_negotiation *f)
{
    if (atomic_load(&f->lock) != s5_lock_token(e))
        return;
    s5_session_abort(&f->session, -ECONNABORTED);
    atomic_store(&f->step_due, 0); /* so that waiting threads notice the error */
    s5_negotiation_unlock(f);
}

void s5_negotiation_abandon(struct s5_engine *e, struct s5_negotiation *f)
{
    uint32_t taken = S5_NEGOTIATION_TAKEN;
    s5_negotiation_leave_step(e, f);
    atomic_compare_exchange_strong(&f->phase, &taken, S5_NEGOTIATION_DIALING);
    atomic_store(&f->driver, 0);
}
