/* References that processes have to an object in the memory they share. Each is counted under the number of its
 * process (process.h), so that those of one that has ended, or that never came to be, are taken back whole.
 *
 * Taking a reference is by compare-exchange from one that is there; whoever clears a process's place takes its part
 * away from the object, so that no reference is given back twice. Where there are more processes than places, the
 * others are the crowd: it has the last place together, and what its members leave behind is not found. */
#ifndef S5_REFERENCES_H
#define S5_REFERENCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define S5_REFERENCES_PROCESSES 14u

struct s5_references {
    _Atomic uint64_t use; /* generation, which changes when the last one goes << 32 | processes that have some;
                           * UINT32_MAX: it is nobody's, and not free yet */
    /* Process << 32 | the generation's last bits << 16 | how many. 0: a free place. The last: the crowd. */
    _Atomic uint64_t by[S5_REFERENCES_PROCESSES + 1];
};

static inline uint32_t s5_references_generation(const struct s5_references *r)
{
    return (uint32_t)(atomic_load_explicit(&r->use, memory_order_acquire) >> 32);
}

/* Another process than the one that asks may have references. */
static inline bool s5_references_are_shared(const struct s5_references *r)
{
    return (uint32_t)atomic_load_explicit(&r->use, memory_order_relaxed) > 1;
}

/* The caller alone knows the object: COUNT references of PROCESS. */
static inline void s5_references_begin(struct s5_references *r, uint32_t process, uint32_t count)
{
    uint64_t use = atomic_load_explicit(&r->use, memory_order_relaxed) & ~(uint64_t)UINT32_MAX;
    atomic_store_explicit(&r->by[0], (uint64_t)process << 32 | (uint32_t)(use >> 16) | count, memory_order_relaxed);
    atomic_store_explicit(&r->use, use + 1, memory_order_release);
}
/* The object of nobody is the caller's alone. False: it is somebody's. */
bool s5_references_claim(struct s5_references *r);
/* The same whoever has it: who has references of GENERATION has none from now on. */
bool s5_references_seize(struct s5_references *r, uint32_t generation);

/* One more for PROCESS; false: nobody has one, or those of GENERATION have ended. */
bool s5_references_take(struct s5_references *r, uint32_t generation, uint32_t process);
/* One less. True: it was the last one, the caller clears the object away, and then lets it go: it is of the
 * next generation, and free. */
bool s5_references_release_any(struct s5_references *r, uint32_t process);
/* A process has none any more: PLACE is what it had. */
static inline bool s5_references_leave(struct s5_references *r, uint64_t place)
{
    uint64_t now = atomic_load_explicit(&r->use, memory_order_relaxed), then;
    do {
        if (__builtin_expect((uint16_t)(now >> 32) != (uint16_t)(place >> 16), 0))
            return false;                                             /* they were all taken away */
        then = (uint32_t)now == 1 ? now + (2ull << 32) - 2 : now - 1; /* UINT32_MAX, of the next generation */
    } while (__builtin_expect(!atomic_compare_exchange_weak(&r->use, &now, then), 0));
    return (uint32_t)then == UINT32_MAX;
}
static inline bool s5_references_release(struct s5_references *r, uint32_t process)
{
    /* Nearly always its place is the first. What is reserved for it, it has confirmed before. */
    uint64_t now = atomic_load_explicit(&r->by[0], memory_order_relaxed);
    if (__builtin_expect(now >> 32 != process, 0))
        return s5_references_release_any(r, process);
    bool last = (uint16_t)now == 1;
    if (__builtin_expect(!atomic_compare_exchange_strong(&r->by[0], &now, last ? 0 : now - 1), 0))
        return s5_references_release_any(r, process);
    return last && s5_references_leave(r, now);
}
static inline void s5_references_end(struct s5_references *r)
{
    atomic_store_explicit(&r->use, (uint64_t)s5_references_generation(r) << 32, memory_order_release);
}

/* How many PROCESS has; 0 where it is of the crowd. */
uint32_t s5_references_of(const struct s5_references *r, uint32_t process);
/* The caller alone knows the object: whoever had it, PROCESS has COUNT references from now on, of GENERATION, and
 * nobody else has any. */
void s5_references_begin_anew(struct s5_references *r, uint32_t generation, uint32_t process, uint32_t count);

/* A fork: one for the CHILD that may come to be. That confirms it, being SELF then; or whoever forked takes it back.
 * Exactly one of both succeeds. take_back: true as release. */
bool s5_references_reserve(struct s5_references *r, uint32_t generation, uint32_t child);
bool s5_references_confirm(struct s5_references *r, uint32_t generation, uint32_t child, uint32_t self);
bool s5_references_take_back(struct s5_references *r, uint32_t child);

/* FD and SELF as for s5_process_has_ended(). */
/* An exec: those of a process that has ended, this one before it, are one of SELF. False: there are none. */
bool s5_references_take_over(struct s5_references *r, int fd, uint32_t self);
/* Those of processes that have ended are gone; RESERVED: and those that nobody has confirmed. True as release. */
bool s5_references_sweep(struct s5_references *r, int fd, uint32_t self, bool reserved);

#endif
