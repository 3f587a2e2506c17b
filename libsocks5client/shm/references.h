/* References of processes to an object in shared memory. Each reference is counted under the number of its process
 * (process.h), so that all references of a process that has ended, or was never made, can be released together.
 *
 * A reference is taken by compare-exchange from an existing one. The thread that clears the place of a process also
 * removes the process from the object's count, so that no reference is released twice. The object has places for
 * S5_REFERENCES_PROCESSES processes. Further processes share the last place, the overflow place; references that a
 * process leaves there when it is killed are not found. */
#ifndef S5_REFERENCES_H
#define S5_REFERENCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define S5_REFERENCES_PROCESSES 14u

struct s5_references {
    _Atomic uint64_t use; /* generation << 32 | number of places in use. The generation changes when the last reference
                           * is released. UINT32_MAX places: no references, and not free yet */
    /* Process << 32 | low 16 bits of the generation << 16 | count. 0: a free place. The last is the overflow place. */
    _Atomic uint64_t by[S5_REFERENCES_PROCESSES + 1];
};

static inline uint32_t s5_references_generation(const struct s5_references *r)
{
    return (uint32_t)(atomic_load_explicit(&r->use, memory_order_acquire) >> 32);
}

/* Returns whether a process other than the caller's may have references. The caller's has one. */
static inline bool s5_references_are_shared(const struct s5_references *r)
{
    return (uint32_t)atomic_load_explicit(&r->use, memory_order_relaxed) > 1;
}

/* Sets COUNT references of PROCESS. Only the caller may know the object. */
static inline void s5_references_begin(struct s5_references *r, uint32_t process, uint32_t count)
{
    uint64_t use = atomic_load_explicit(&r->use, memory_order_relaxed) & ~(uint64_t)UINT32_MAX;
    atomic_store_explicit(&r->by[0], (uint64_t)process << 32 | (uint32_t)(use >> 16) | count, memory_order_relaxed);
    atomic_store_explicit(&r->use, use + 1, memory_order_release);
}
/* Claims an object without references for the caller alone. False: it has references or is claimed. */
bool s5_references_claim(struct s5_references *r);
/* Claims the object even when there are references of GENERATION: these end. False: it is of another generation or
 * claimed. */
bool s5_references_seize(struct s5_references *r, uint32_t generation);

/* Takes one more reference for PROCESS. False: there is no reference, or those of GENERATION have ended. */
bool s5_references_take(struct s5_references *r, uint32_t generation, uint32_t process);
/* Releases one reference of PROCESS. True: it was the last one. Then the object is of the next generation; the caller
 * clears it and frees it by s5_references_end(). */
bool s5_references_release_any(struct s5_references *r, uint32_t process);
/* Removes a process that has no references any more from the object's count. PLACE is the former value of its place.
 * True: as release. */
static inline bool s5_references_leave(struct s5_references *r, uint64_t place)
{
    uint64_t now = atomic_load_explicit(&r->use, memory_order_relaxed), then;
    do {
        if (__builtin_expect((uint16_t)(now >> 32) != (uint16_t)(place >> 16), 0))
            return false;                                             /* the object was seized */
        then = (uint32_t)now == 1 ? now + (2ull << 32) - 2 : now - 1; /* UINT32_MAX, of the next generation */
    } while (__builtin_expect(!atomic_compare_exchange_weak(&r->use, &now, then), 0));
    return (uint32_t)then == UINT32_MAX;
}
static inline bool s5_references_release(struct s5_references *r, uint32_t process)
{
    /* The place of the process is nearly always the first. What is reserved for it, it has confirmed before. */
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

/* Returns the number of references of PROCESS; 0 where they are counted in the overflow place. */
uint32_t s5_references_of(const struct s5_references *r, uint32_t process);
/* Replaces all references by COUNT references of PROCESS, of GENERATION. Only the caller may know the object. */
void s5_references_begin_anew(struct s5_references *r, uint32_t generation, uint32_t process, uint32_t count);

/* A fork. Before it, reserve counts a reference under the number CHILD. The child confirms it and counts it under its
 * number SELF, or the process that forked takes it back. Exactly one of both succeeds. take_back returns true as
 * release. */
bool s5_references_reserve(struct s5_references *r, uint32_t generation, uint32_t child);
bool s5_references_confirm(struct s5_references *r, uint32_t generation, uint32_t child, uint32_t self);
bool s5_references_take_back(struct s5_references *r, uint32_t child);

/* FD and SELF as for s5_process_has_ended(). */
/* An exec: replaces the references of a process that has ended, the caller before the exec, by one reference of SELF.
 * False: there are none. */
bool s5_references_take_over(struct s5_references *r, int fd, uint32_t self);
/* Releases the references of processes that have ended; with RESERVED also those that no child has confirmed. True: as
 * release. */
bool s5_references_sweep(struct s5_references *r, int fd, uint32_t self, bool reserved);

#endif
