/* What the registry notes of descriptors whether or not they are ours: where they are registered with
 * epoll, and which are duplicates of which. A program may do either first and connect later. */
#ifndef S5_FD_NOTES_H
#define S5_FD_NOTES_H

#include "registry.h"

/* FROM was duplicated to TO, neither being ours. */
void s5_registry_note_dup(struct s5_registry *r, int from, int to);
static inline bool s5_registry_has_dups(const struct s5_registry *r)
{
    return atomic_load_explicit(&r->dups_at, memory_order_relaxed) != 0;
}
/* The next descriptor noted as a duplicate of FD from place *AT on, or -1. */
int s5_registry_next_dup(const struct s5_registry *r, int fd, uint32_t *at);

/* Registrations of FD with epoll: note one, forget one. -ENOBUFS when there is no room. */
int s5_registry_watch(struct s5_registry *r, int fd, int ep, uint32_t events, uint64_t data);
void s5_registry_unwatch(struct s5_registry *r, int fd, int ep);
void s5_registry_unwatch_all(struct s5_registry *r, int fd);

/* Among a note's events: the registration is being made. No event of epoll's has this bit. */
#define S5_WATCH_BEGINS (1u << 26)

/* Whether SLOT, which may be NULL, has any. */
static inline bool s5_registry_watched(const struct s5_slot *slot)
{
    return slot && (atomic_load(&slot->ep) || atomic_load(&slot->more));
}

/* A registration as the application made it. */
struct s5_registration {
    int ep;
    uint32_t events;
    uint64_t data;
};
/* Number AT (0, 1, ...) of SLOT's; false behind the last. A gap has ep -1. */
bool s5_registry_further(const struct s5_registry *r, const struct s5_slot *slot, unsigned at,
                         struct s5_registration *ret);
static inline bool s5_registry_registration(const struct s5_registry *r, const struct s5_slot *slot, unsigned at,
                                            struct s5_registration *ret)
{
    if (at)
        return atomic_load_explicit(&slot->more, memory_order_acquire) && s5_registry_further(r, slot, at, ret);
    *ret = (struct s5_registration){atomic_load(&slot->ep) - 1, atomic_load(&slot->events), atomic_load(&slot->data)};
    return true;
}

#endif
