/* What all waits have in common: the deadlines of everything in flight. A wait is cut short at the
 * nearest one, whoever waits and for whatever, since a descriptor may also be watched at one remove
 * (an epoll instance in another or in a poll set). */
#include "clock.h"
#include "engine.h"

uint64_t s5_flying_until(struct s5_engine *e, uint64_t nap)
{
    uint64_t nearest = S5_CLOCK_NEVER;
    uint32_t top = s5_registry_flying_top(&e->registry);
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        uint64_t wake = f ? atomic_load_explicit(&f->wake, memory_order_relaxed) : nearest;
        if (f && nap < wake && s5_flight_shared(f, 1))
            wake = nap;
        if (wake < nearest)
            nearest = wake;
    }
    return nearest;
}

void s5_flying_expire(struct s5_engine *e, uint64_t now)
{
    uint32_t top = s5_registry_flying_top(&e->registry);
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        if (f && atomic_load_explicit(&f->wake, memory_order_relaxed) <= now)
            s5_connect_turn(e, record, 0);
    }
}
