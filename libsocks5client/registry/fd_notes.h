/* Notes on descriptors, with or without a record: where they are registered with epoll, and which are duplicates of
 * each other. A program may do either before it connects. */
#ifndef S5_FD_NOTES_H
#define S5_FD_NOTES_H

#include "registry.h"

/* Notes that FROM was duplicated to TO, neither of which has a record. */
void s5_registry_note_dup(struct s5_registry *r, int from, int to);
static inline bool s5_registry_has_dups(const struct s5_registry *r)
{
    return atomic_load_explicit(&r->dups_at, memory_order_relaxed) != 0;
}
/* Returns the next descriptor noted as a duplicate of FD from index *AT on, or -1. Advances *AT. */
int s5_registry_next_dup(const struct s5_registry *r, int fd, uint32_t *at);

/* Notes, or forgets, the registration of FD with the epoll instance EP. watch returns 0, or -ENOBUFS when a table is
 * full. unwatch_all forgets every registration of FD. */
int s5_registry_watch(struct s5_registry *r, int fd, int ep, uint32_t events, uint64_t data);
void s5_registry_unwatch(struct s5_registry *r, int fd, int ep);
void s5_registry_unwatch_all(struct s5_registry *r, int fd);

/* Set in the events of a note while the registration is being made. No epoll event uses this bit. */
#define S5_WATCH_BEGINS (1u << 26)

/* Returns whether SLOT, which may be NULL, has registrations. */
static inline bool s5_registry_watched(const struct s5_slot *slot)
{
    return slot && (atomic_load(&slot->ep) || atomic_load(&slot->more));
}

/* An epoll registration as the application made it. */
struct s5_registration {
    int ep;
    uint32_t events;
    uint64_t data;
};
/* Gets the registration AT (0, 1, ...) of SLOT. False: there is none with this number. A gap has ep -1. */
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
