/* Duplicates are noted in a ring, in which a new pair overwrites the oldest. The first epoll registration of a
 * descriptor is in its slot; further ones are in a list of entries of one table. An entry is never removed from its
 * list: with ep 0 it is a gap, which the same descriptor uses again. */
#include "fd_notes.h"
#include "lazy_map.h"
#include <errno.h>
#include <stddef.h>

void s5_registry_note_dup(struct s5_registry *r, int from, int to)
{
    uint32_t at = atomic_fetch_add_explicit(&r->dups_at, 1, memory_order_relaxed) % S5_DUPS;
    atomic_store_explicit(&r->dups[at], (uint64_t)(uint32_t)(from + 1) << 32 | (uint32_t)(to + 1),
                          memory_order_relaxed);
}

int s5_registry_next_dup(const struct s5_registry *r, int fd, uint32_t *at)
{
    while (*at < S5_DUPS && *at < atomic_load_explicit(&r->dups_at, memory_order_relaxed)) {
        uint64_t pair = atomic_load_explicit(&r->dups[(*at)++], memory_order_relaxed);
        int from = (int)(pair >> 32) - 1, to = (int)(uint32_t)pair - 1;
        if (pair && from != to && (from == fd || to == fd))
            return from == fd ? to : from;
    }
    return -1;
}

static struct s5_watch *get_watch(const struct s5_registry *r, uint32_t index_1)
{
    struct s5_watch *watches = atomic_load_explicit(&r->watches, memory_order_acquire);
    return watches && index_1 && index_1 <= S5_WATCHES ? &watches[index_1 - 1] : NULL;
}

static int add_further_watch(struct s5_registry *r, struct s5_slot *slot, int ep, uint32_t events, uint64_t data)
{
    struct s5_watch *gap = NULL;
    for (struct s5_watch *w = get_watch(r, atomic_load(&slot->more)); w; w = get_watch(r, atomic_load(&w->next))) {
        int32_t have = atomic_load(&w->ep);
        if (have == ep + 1 || !have)
            gap = w;
        if (have == ep + 1)
            break;
    }
    if (!gap) {
        struct s5_watch *watches = s5_lazy_map((void *_Atomic *)&r->watches, S5_WATCHES * sizeof(struct s5_watch));
        uint32_t at = watches ? atomic_fetch_add(&r->watches_used, 1) : S5_WATCHES;
        if (at >= S5_WATCHES)
            return -ENOBUFS;
        gap = &watches[at];
        uint32_t head = atomic_load(&slot->more);
        do
            atomic_store(&gap->next, head);
        while (!atomic_compare_exchange_weak(&slot->more, &head, at + 1));
    }
    atomic_store(&gap->events, events);
    atomic_store(&gap->data, data);
    atomic_store(&gap->ep, ep + 1);
    return 0;
}

int s5_registry_watch(struct s5_registry *r, int fd, int ep, uint32_t events, uint64_t data)
{
    struct s5_slot *slot = s5_registry_make(r, fd);
    if (!slot)
        return -ENOBUFS;
    int32_t have = atomic_load(&slot->ep);
    if (have && have != ep + 1)
        return add_further_watch(r, slot, ep, events, data);
    atomic_store(&slot->events, events);
    atomic_store(&slot->data, data);
    atomic_store(&slot->ep, ep + 1);
    return 0;
}

void s5_registry_unwatch_all(struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    if (!slot)
        return;
    atomic_store(&slot->ep, 0);
    for (struct s5_watch *w = get_watch(r, atomic_load(&slot->more)); w; w = get_watch(r, atomic_load(&w->next)))
        atomic_store(&w->ep, 0);
}

void s5_registry_unwatch(struct s5_registry *r, int fd, int ep)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    if (!slot)
        return;
    if (atomic_load(&slot->ep) == ep + 1)
        atomic_store(&slot->ep, 0);
    for (struct s5_watch *w = get_watch(r, atomic_load(&slot->more)); w; w = get_watch(r, atomic_load(&w->next)))
        if (atomic_load(&w->ep) == ep + 1)
            atomic_store(&w->ep, 0);
}

bool s5_registry_further(const struct s5_registry *r, const struct s5_slot *slot, unsigned at,
                         struct s5_registration *ret)
{
    struct s5_watch *w = get_watch(r, atomic_load(&slot->more));
    while (w && --at)
        w = get_watch(r, atomic_load(&w->next));
    if (!w)
        return false;
    *ret = (struct s5_registration){atomic_load(&w->ep) - 1, atomic_load(&w->events), atomic_load(&w->data)};
    return true;
}
