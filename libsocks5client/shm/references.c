/* An object has a count of places in use (USE) and an array of places (BY), one for each process. A process that takes
 * its first reference increments the count and then fills a free place. Where no place is free it uses the overflow
 * place, which is counted once for all processes that share it. Clearing a place decrements the count; clearing the
 * last one ends the generation. All changes are by compare-exchange. */
#include "references.h"
#include "process.h"

#define BUSY             UINT32_MAX
#define PLACES           S5_REFERENCES_PROCESSES
#define OVERFLOW_PLACE   PLACES    /* its index */
#define RESERVED         0x8000ull /* set until the child confirms the reference */
#define MOST             0x7fffull
#define COUNT            0xffffull
#define OVERFLOW_PROCESS UINT32_MAX /* the process number in the overflow place */

static uint64_t make_place_key(uint32_t process, uint32_t generation)
{
    return (uint64_t)process << 32 | (generation & COUNT) << 16;
}

static uint64_t make_use_word(uint32_t generation, uint32_t processes)
{
    return (uint64_t)generation << 32 | processes;
}

/* --- the count of places --- */

static bool count_place(struct s5_references *r, uint32_t generation)
{
    uint64_t now = atomic_load(&r->use);
    do {
        if ((uint32_t)now == 0 || (uint32_t)now == BUSY || now >> 32 != generation)
            return false;
    } while (!atomic_compare_exchange_weak(&r->use, &now, now + 1));
    return true;
}

/* --- the place of a process --- */

/* Adds a reference to the place *AT where it has confirmed references of the key WHICH. */
static bool add_to_place(_Atomic uint64_t *at, uint64_t which)
{
    uint64_t now = atomic_load(at);
    do {
        if ((now & ~COUNT) != which || !(now & COUNT) || (now & RESERVED) || (now & COUNT) == MOST)
            return false;
    } while (!atomic_compare_exchange_weak(at, &now, now + 1));
    return true;
}

static bool add_to_own_place(struct s5_references *r, uint64_t which)
{
    for (unsigned i = 0; i < PLACES; i++)
        if ((atomic_load(&r->by[i]) & ~COUNT) == which)
            return add_to_place(&r->by[i], which);
    return false;
}

/* Clears the place *AT where it still has the value WAS. True: it had the object's last references. */
static bool clear_place(struct s5_references *r, _Atomic uint64_t *at, uint64_t was)
{
    return atomic_compare_exchange_strong(at, &was, 0) && s5_references_leave(r, was);
}

/* Stores COUNTED, which is already in the count of places, in a free place or adds it to the overflow place. */
static void fill_place(struct s5_references *r, uint64_t counted)
{
    uint64_t overflow = make_place_key(OVERFLOW_PROCESS, 0) | (counted & COUNT << 16);
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t none = 0;
        if (!atomic_load(&r->by[i]) && atomic_compare_exchange_strong(&r->by[i], &none, counted))
            return;
    }
    for (;;) {
        uint64_t now = atomic_load(&r->by[OVERFLOW_PLACE]);
        if (add_to_place(&r->by[OVERFLOW_PLACE], overflow)) {
            s5_references_leave(r, overflow); /* the overflow place is counted already, so this is not the last */
            return;
        }
        /* Free, or of an earlier generation. */
        if ((now & ~COUNT) != overflow && atomic_compare_exchange_strong(&r->by[OVERFLOW_PLACE], &now, overflow | 1))
            return;
    }
}

bool s5_references_take(struct s5_references *r, uint32_t generation, uint32_t process)
{
    uint64_t own = make_place_key(process, generation);
    if (add_to_own_place(r, own))
        return true;
    if (!count_place(r, generation))
        return false;
    fill_place(r, own | 1);
    return true;
}

bool s5_references_release_any(struct s5_references *r, uint32_t process)
{
    uint32_t generation = s5_references_generation(r);
    uint64_t own = make_place_key(process, generation), overflow = make_place_key(OVERFLOW_PROCESS, generation);
    for (unsigned i = 0; i <= OVERFLOW_PLACE; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        while ((now & ~COUNT) == (i == OVERFLOW_PLACE ? overflow : own) && (now & COUNT)) {
            uint64_t then = (now & MOST) > 1 ? now - 1 : 0;
            if (atomic_compare_exchange_weak(&r->by[i], &now, then))
                return !then && s5_references_leave(r, now);
        }
    }
    return false; /* the object was seized, or its places were cleared */
}

uint32_t s5_references_of(const struct s5_references *r, uint32_t process)
{
    uint64_t own = make_place_key(process, s5_references_generation(r));
    uint32_t count = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if ((now & ~COUNT) == own && !(now & RESERVED))
            count += (uint32_t)(now & COUNT);
    }
    return count;
}

/* --- the object --- */

bool s5_references_claim(struct s5_references *r)
{
    uint64_t now = atomic_load(&r->use);
    return (uint32_t)now == 0 && atomic_compare_exchange_strong(&r->use, &now, now | BUSY);
}

bool s5_references_seize(struct s5_references *r, uint32_t generation)
{
    uint64_t now = atomic_load(&r->use);
    do {
        if (now >> 32 != generation || (uint32_t)now == BUSY)
            return false;
    } while (!atomic_compare_exchange_weak(&r->use, &now, make_use_word(generation + 1, BUSY)));
    for (unsigned i = 0; i <= OVERFLOW_PLACE; i++)
        atomic_store(&r->by[i], 0);
    return true;
}

/* --- a copy of the object --- */

void s5_references_begin_anew(struct s5_references *r, uint32_t generation, uint32_t process, uint32_t count)
{
    for (unsigned i = 0; i <= OVERFLOW_PLACE; i++)
        atomic_store(&r->by[i], 0);
    atomic_store(&r->use, make_use_word(generation, 0));
    s5_references_begin(r, process, count);
}

/* --- forks, execs, and processes that have ended --- */

bool s5_references_reserve(struct s5_references *r, uint32_t generation, uint32_t child)
{
    if (!count_place(r, generation))
        return false;
    fill_place(r, make_place_key(child, generation) | RESERVED | 1);
    return true;
}

bool s5_references_confirm(struct s5_references *r, uint32_t generation, uint32_t child, uint32_t self)
{
    uint64_t own = make_place_key(child, generation);
    unsigned filled = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if ((now & ~COUNT) == own)
            return (now & RESERVED) &&
                   atomic_compare_exchange_strong(&r->by[i], &now, make_place_key(self, generation) | 1);
        filled += now != 0;
    }
    /* It is in the overflow place, as it must be where no place was free. */
    return filled == PLACES &&
           (atomic_load(&r->by[OVERFLOW_PLACE]) & ~COUNT) == make_place_key(OVERFLOW_PROCESS, generation);
}

bool s5_references_take_back(struct s5_references *r, uint32_t child)
{
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if (now >> 32 == child && (now & RESERVED))
            return clear_place(r, &r->by[i], now);
    }
    return false;
}

bool s5_references_take_over(struct s5_references *r, int fd, uint32_t self)
{
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if (!now || (now & RESERVED) || !s5_process_has_ended(fd, self, (uint32_t)(now >> 32)))
            continue;
        if (atomic_compare_exchange_strong(&r->by[i], &now, (uint64_t)self << 32 | (now & COUNT << 16) | 1))
            return true;
    }
    return false;
}

bool s5_references_sweep(struct s5_references *r, int fd, uint32_t self, bool reserved)
{
    bool last = false;
    for (unsigned i = 0; i < PLACES && !last; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if (now && (reserved || !(now & RESERVED)) && s5_process_has_ended(fd, self, (uint32_t)(now >> 32)))
            last = clear_place(r, &r->by[i], now);
    }
    return last;
}
