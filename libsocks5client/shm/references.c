#include "references.h"
#include "process.h"

#define BUSY     UINT32_MAX
#define PLACES   S5_REFERENCES_PROCESSES
#define CROWD    PLACES    /* its place */
#define RESERVED 0x8000ull /* the child has not confirmed it */
#define MOST     0x7fffull
#define COUNT    0xffffull
#define NOBODY   UINT32_MAX /* the crowd's number */

static uint64_t key(uint32_t process, uint32_t generation)
{
    return (uint64_t)process << 32 | (generation & COUNT) << 16;
}

static uint64_t use(uint32_t generation, uint32_t processes)
{
    return (uint64_t)generation << 32 | processes;
}

/* --- the processes together --- */

static bool come(struct s5_references *r, uint32_t generation)
{
    uint64_t now = atomic_load(&r->use);
    do {
        if ((uint32_t)now == 0 || (uint32_t)now == BUSY || now >> 32 != generation)
            return false;
    } while (!atomic_compare_exchange_weak(&r->use, &now, now + 1));
    return true;
}

/* --- one process's place --- */

/* One more where there are some of KEY, which nobody has still to confirm. */
static bool add_to(_Atomic uint64_t *at, uint64_t which)
{
    uint64_t now = atomic_load(at);
    do {
        if ((now & ~COUNT) != which || !(now & COUNT) || (now & RESERVED) || (now & COUNT) == MOST)
            return false;
    } while (!atomic_compare_exchange_weak(at, &now, now + 1));
    return true;
}

static bool add_own(struct s5_references *r, uint64_t which)
{
    for (unsigned i = 0; i < PLACES; i++)
        if ((atomic_load(&r->by[i]) & ~COUNT) == which)
            return add_to(&r->by[i], which);
    return false;
}

/* *AT, of which it is certain what it was, is free. True: it was the last one. */
static bool clear(struct s5_references *r, _Atomic uint64_t *at, uint64_t was)
{
    return atomic_compare_exchange_strong(at, &was, 0) && s5_references_leave(r, was);
}

/* A place for COUNTED, whose process has come already. */
static void drop_unused(struct s5_references *r, uint64_t counted)
{
    uint64_t crowd = key(NOBODY, 0) | (counted & COUNT << 16);
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t none = 0;
        if (!atomic_load(&r->by[i]) && atomic_compare_exchange_strong(&r->by[i], &none, counted))
            return;
    }
    for (;;) {
        uint64_t now = atomic_load(&r->by[CROWD]);
        if (add_to(&r->by[CROWD], crowd)) {
            s5_references_leave(r, crowd); /* the crowd has come before; it is not the last, being there */
            return;
        }
        /* Nobody's, or of a generation before. */
        if ((now & ~COUNT) != crowd && atomic_compare_exchange_strong(&r->by[CROWD], &now, crowd | 1))
            return;
    }
}

bool s5_references_take(struct s5_references *r, uint32_t generation, uint32_t process)
{
    uint64_t own = key(process, generation);
    if (add_own(r, own))
        return true;
    if (!come(r, generation))
        return false;
    drop_unused(r, own | 1);
    return true;
}

bool s5_references_release_any(struct s5_references *r, uint32_t process)
{
    uint32_t generation = s5_references_generation(r);
    uint64_t own = key(process, generation), crowd = key(NOBODY, generation);
    for (unsigned i = 0; i <= CROWD; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        while ((now & ~COUNT) == (i == CROWD ? crowd : own) && (now & COUNT)) {
            uint64_t then = (now & MOST) > 1 ? now - 1 : 0;
            if (atomic_compare_exchange_weak(&r->by[i], &now, then))
                return !then && s5_references_leave(r, now);
        }
    }
    return false; /* they were taken away */
}

uint32_t s5_references_of(const struct s5_references *r, uint32_t process)
{
    uint64_t own = key(process, s5_references_generation(r));
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
    } while (!atomic_compare_exchange_weak(&r->use, &now, use(generation + 1, BUSY)));
    for (unsigned i = 0; i <= CROWD; i++)
        atomic_store(&r->by[i], 0);
    return true;
}

/* --- whose they are --- */

void s5_references_begin_anew(struct s5_references *r, uint32_t generation, uint32_t process, uint32_t count)
{
    for (unsigned i = 0; i <= CROWD; i++)
        atomic_store(&r->by[i], 0);
    atomic_store(&r->use, use(generation, 0));
    s5_references_begin(r, process, count);
}

/* --- forks, execs, and those that have ended --- */

bool s5_references_reserve(struct s5_references *r, uint32_t generation, uint32_t child)
{
    if (!come(r, generation))
        return false;
    drop_unused(r, key(child, generation) | RESERVED | 1);
    return true;
}

bool s5_references_confirm(struct s5_references *r, uint32_t generation, uint32_t child, uint32_t self)
{
    uint64_t own = key(child, generation);
    unsigned taken = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if ((now & ~COUNT) == own)
            return (now & RESERVED) && atomic_compare_exchange_strong(&r->by[i], &now, key(self, generation) | 1);
        taken += now != 0;
    }
    /* Of the crowd, as it must have been when there was no place. */
    return taken == PLACES && (atomic_load(&r->by[CROWD]) & ~COUNT) == key(NOBODY, generation);
}

bool s5_references_take_back(struct s5_references *r, uint32_t child)
{
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t now = atomic_load(&r->by[i]);
        if (now >> 32 == child && (now & RESERVED))
            return clear(r, &r->by[i], now);
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
            last = clear(r, &r->by[i], now);
    }
    return last;
}
