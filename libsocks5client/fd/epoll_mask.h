/* The epoll registrations of descriptors in flight. */
#ifndef S5_EPOLL_MASK_H
#define S5_EPOLL_MASK_H

#include "engine.h"
#include "fd_notes.h"
#include "registry.h"

/* The mask of the negotiation, which overrides the application's. */
#define S5_EPOLL_OVERRIDE (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* Returns whether SLOT's descriptor is in flight. */
bool s5_epoll_in_flight(const struct s5_engine *e, const struct s5_slot *slot);

/* Overrides every registration of FD for its negotiation or, where it is not in flight, restores the application's
 * mask. Preserves errno. */
void s5_epoll_update_slot(struct s5_engine *e, int fd, struct s5_slot *slot);
static inline void s5_epoll_update(struct s5_engine *e, int fd)
{
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    if (s5_registry_watched(slot))
        s5_epoll_update_slot(e, fd, slot);
}

/* Returns whether SLOT, or a descriptor of RECORD, has a registration with the epoll instance EP and *DATA; NULL: with
 * any data. */
bool s5_epoll_slot_reports(const struct s5_engine *e, const struct s5_slot *slot, int ep, const uint64_t *data);
bool s5_epoll_reports(struct s5_engine *e, struct s5_record *record, int ep, const uint64_t *data);

#endif
