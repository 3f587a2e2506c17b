/* Override and restore the epoll registrations of a descriptor in flight. An overridden registration keeps the
 * application's data, but its mask is the negotiation's (both directions, edge-triggered). The application's mask is
 * noted in the slot. At the end EPOLL_CTL_MOD restores it, which makes the kernel test readiness again: the application
 * then sees its own readiness once. */
#include "epoll_mask.h"
#include "fd_notes.h"
#include "record.h"
#include "registry.h"
#include <errno.h>

bool s5_epoll_in_flight(const struct s5_engine *e, const struct s5_slot *slot)
{
    const struct s5_record *record =
        s5_registry_record(&e->registry, atomic_load_explicit(&slot->record, memory_order_acquire));
    return record && atomic_load(&record->state) == S5_RECORD_IN_FLIGHT;
}

/* Sets the mask of registration R. False: there is no such registration. */
static bool set_mask(struct s5_engine *e, int fd, const struct s5_registration *r, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = r->data};
    if (__builtin_expect(!(r->events & EPOLLEXCLUSIVE), 1))
        return e->real->epoll_ctl(r->ep, EPOLL_CTL_MOD, fd, &event) == 0;
    e->real->epoll_ctl(r->ep, EPOLL_CTL_DEL, fd, NULL); /* EPOLL_CTL_MOD is refused for it */
    return e->real->epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Overrides or restores the mask of registration R. False: the descriptor's state changed meanwhile, so the mask is
 * wrong by now. */
static inline bool update_mask(struct s5_engine *e, int fd, const struct s5_slot *slot, const struct s5_registration *r)
{
    bool in_flight = s5_epoll_in_flight(e, slot);
    bool done = set_mask(e, fd, r, in_flight ? S5_EPOLL_OVERRIDE : r->events & ~S5_WATCH_BEGINS);
    if (__builtin_expect(!done, 0)) {
        if (!(r->events & S5_WATCH_BEGINS)) /* the registration belonged to another descriptor of this number */
            s5_registry_unwatch(&e->registry, fd, r->ep);
        return true;
    }
    return s5_epoll_in_flight(e, slot) == in_flight;
}

static __attribute__((noinline, cold)) void update_further_masks(struct s5_engine *e, int fd,
                                                                 const struct s5_slot *slot)
{
    struct s5_registration r;
    for (unsigned at = 1; s5_registry_registration(&e->registry, slot, at, &r); at++)
        while (r.ep >= 0 && !update_mask(e, fd, slot, &r))
            s5_registry_registration(&e->registry, slot, at, &r);
}

/* Another thread may end the negotiation meanwhile, or close the descriptor and begin another negotiation under this
 * number. Each thread changes the state first and then calls this, so the last thread that sets the mask has seen the
 * last change. */
void s5_epoll_update_slot(struct s5_engine *e, int fd, struct s5_slot *slot)
{
    int saved = errno;
    for (;;) {
        struct s5_registration r = {atomic_load(&slot->ep) - 1, atomic_load(&slot->events), atomic_load(&slot->data)};
        if (r.ep < 0 || (update_mask(e, fd, slot, &r) && atomic_load(&slot->events) == r.events &&
                         atomic_load(&slot->data) == r.data))
            break;
    }
    if (__builtin_expect(atomic_load(&slot->more), 0))
        update_further_masks(e, fd, slot);
    errno = saved;
}

bool s5_epoll_slot_reports(const struct s5_engine *e, const struct s5_slot *slot, int ep, const uint64_t *data)
{
    struct s5_registration r;
    for (unsigned at = 0; s5_registry_registration(&e->registry, slot, at, &r); at++)
        if (r.ep == ep && (!data || r.data == *data))
            return true;
    return false;
}

struct match {
    const struct s5_engine *e;
    int ep;
    const uint64_t *data;
    bool found;
};

static void match_slot(void *user, int fd, struct s5_slot *slot)
{
    struct match *m = user;
    (void)fd;
    m->found |= s5_epoll_slot_reports(m->e, slot, m->ep, m->data);
}

bool s5_epoll_reports(struct s5_engine *e, struct s5_record *record, int ep, const uint64_t *data)
{
    struct match m = {e, ep, data, false};
    int fd = atomic_load(&record->fd);
    const struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    /* Most records have one descriptor with one registration. */
    if (slot && atomic_load(&slot->ep) == ep + 1 &&
        (!data || (atomic_load(&slot->data) == *data && s5_registry_find(&e->registry, fd) == record)))
        return true;
    s5_registry_each(&e->registry, record, match_slot, &m);
    return m.found;
}
