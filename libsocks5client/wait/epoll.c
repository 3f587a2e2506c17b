/* epoll while something is in flight.
 *
 * A wait returns events with the application's data. Those of overridden registrations are found by epoll descriptor
 * and data. An event that advanced its negotiation is dropped. One that advanced nothing may belong to another
 * descriptor registered with equal data, and is then reported.
 *
 * What is in flight and not registered with the instance is waited for as well, by ppoll(). */
#include "epoll.h"
#include "blocking.h"
#include "clock.h"
#include "complete.h"
#include "epoll_mask.h"
#include "epoll_shadow.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "inflight.h"
#include "registry.h"
#include "step.h"
#include "user_memory.h"
#include <errno.h>

/* --- registrations --- */

/* Finds the registration with EP in SLOT, to *RET; false: there is none. */
static bool find_registration(struct s5_engine *e, const struct s5_slot *slot, int ep, struct s5_registration *ret)
{
    for (unsigned at = 0; s5_registry_registration(&e->registry, slot, at, ret); at++)
        if (ret->ep == ep)
            return true;
    return false;
}

/* The registration is recorded first, since a thread that already waits may get the first event at once. Until the
 * kernel has it, the record is marked S5_WATCH_BEGINS, and other threads find nothing to change in it. */
static int change_registration(struct s5_engine *e, int ep, int op, int fd, const struct epoll_event *event)
{
    struct s5_registration before = {-1, 0, 0};
    struct epoll_event first = *event;
    struct s5_slot *slot = s5_registry_make(&e->registry, fd);
    bool had = s5_registry_watched(slot) && find_registration(e, slot, ep, &before);
    if (!slot || s5_registry_watch(&e->registry, fd, ep, event->events | S5_WATCH_BEGINS, event->data.u64) < 0)
        return s5_complete_find(e, fd) ? -ENOSPC : e->real->epoll_ctl(ep, op, fd, &first) == 0 ? 0 : -errno;
    bool in_flight = s5_complete_find(e, fd);
    if (in_flight)
        first.events = S5_EPOLL_OVERRIDE;
    int r = e->real->epoll_ctl(ep, op, fd, &first) == 0 ? 0 : -errno;
    if (r < 0 && had && r != -ENOENT && r != -EBADF)
        s5_registry_watch(&e->registry, fd, ep, before.events, before.data);
    else if (r < 0)
        s5_registry_unwatch(&e->registry, fd, ep);
    else {
        if (atomic_load(&slot->ep) == ep + 1)
            atomic_store(&slot->events, event->events);
        else
            s5_registry_watch(&e->registry, fd, ep, event->events, event->data.u64);
        if (s5_epoll_in_flight(e, slot) != in_flight) /* another thread completed or began a negotiation meanwhile */
            s5_epoll_update_slot(e, fd, slot);
    }
    return r;
}

int s5_epoll_ctl(struct s5_engine *e, int ep, int op, int fd, struct epoll_event *user_event)
{
    struct epoll_event own, *event = user_event;
    s5_cleanup_look_here();
    s5_fd_record(e, fd); /* drops what is recorded of a closed socket with this number */
    if (op == EPOLL_CTL_ADD || op == EPOLL_CTL_MOD) {
        if (!s5_user_read(&own, user_event, sizeof own)) /* the kernel reports the error */
            return e->real->epoll_ctl(ep, op, fd, S5_USER_NOWHERE) == 0 ? 0 : -errno;
        event = &own;
        int r = change_registration(e, ep, op, fd, event);
        if (r < 0)
            return r;
    } else {
        if (op == EPOLL_CTL_DEL)
            s5_registry_unwatch(&e->registry, fd, ep);
        if (e->real->epoll_ctl(ep, op, fd, event) != 0)
            return -errno;
    }
    s5_epoll_shadow_ctl(e, ep, op, fd, event);
    return 0;
}

/* --- events --- */

/* Whether a descriptor that is not in flight is registered with EP and DATA too. */
static bool has_other_registration(struct s5_engine *e, int ep, uint64_t data)
{
    for (unsigned fd = 0; fd < S5_CHUNKS * S5_CHUNK_SLOTS; fd++) {
        struct s5_slot *slot = s5_registry_slot(&e->registry, (int)fd);
        if (!slot) {
            fd |= S5_CHUNK_SLOTS - 1;
            continue;
        }
        if (s5_epoll_slot_reports(e, slot, ep, &data) && !s5_complete_find(e, (int)fd))
            return true;
    }
    return false;
}

/* Whether EVENT is reported to the application. */
static bool is_for_application(struct s5_engine *e, int ep, const struct epoll_event *event)
{
    uint32_t top = s5_registry_inflight_top(&e->registry);
    uint64_t data = event->data.u64;
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        if (!record || !s5_epoll_reports(e, record, ep, &data))
            continue;
        enum s5_step result = s5_complete_step(e, record, (short)event->events);
        if (result != S5_STEP_GONE && (result != S5_STEP_WAIT || !has_other_registration(e, ep, data)))
            return false;
    }
    return true;
}

static int filter_events(struct s5_engine *e, int ep, struct epoll_event *events, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (is_for_application(e, ep, &events[i]))
            events[kept++] = events[i];
    return kept;
}

static int real_wait(struct s5_engine *e, int ep, struct epoll_event *events, int max, uint64_t until, uint64_t now,
                     bool precise, const sigset_t *mask)
{
    struct timespec left;
    const struct timespec *timeout = s5_clock_left(until, now, &left);
    if (precise)
        return e->real->epoll_pwait2(ep, events, max, timeout, mask);
    int ms = -1;
    if (timeout) /* rounded up, as the kernel rounds a sleep */
        ms = left.tv_sec > 2000000 ? 2000000000 : (int)(left.tv_sec * 1000 + (left.tv_nsec + 999999) / 1000000);
    return e->real->epoll_pwait(ep, events, max, ms, mask);
}

/* The same while something is in flight that EP does not watch. */
static int wait_beside(struct s5_engine *e, int ep, struct epoll_event *events, int max, uint64_t until,
                       const sigset_t *mask)
{
    struct s5_pollset set;
    bool ended = false;
    s5_pollset_begin(&set);
    s5_pollset_look(e, &set);
    s5_pollset_add(&set, ep, POLLIN);
    int r = s5_inflight_round(e, &set, ep, until, mask, &ended);
    s5_pollset_end(&set);
    if (r > 0 && (r = e->real->epoll_pwait(ep, events, max, 0, NULL)) < 0)
        r = -errno;
    return r;
}

/* Waits once, until a step is due in flight, and no longer than UNTIL. */
static int wait_once(struct s5_engine *e, int ep, struct epoll_event *events, int max, uint64_t until, uint64_t now,
                     bool precise, const sigset_t *mask)
{
    bool beside;
    uint64_t due = s5_inflight_due(e, ep, &beside);
    if (beside && max > 0)
        return wait_beside(e, ep, events, max, until, mask);
    bool early = due < until;
    int n = real_wait(e, ep, events, max, early ? due : until, now, precise && !early, mask);
    if (n == 0)
        s5_inflight_expire(e, s5_clock_now());
    return n < 0 ? -errno : n;
}

int s5_epoll_wait(struct s5_engine *e, int ep, struct epoll_event *events, int max, int n,
                  const struct timespec *timeout, const sigset_t *mask)
{
    uint64_t now = s5_clock_now(), until = s5_clock_later(now, timeout);
    bool precise = timeout && timeout->tv_nsec % 1000000 != 0;
    int saved = errno;
    s5_cleanup_look_here();
    for (;;) {
        if (n > 0)
            n = filter_events(e, ep, events, n);
        if (n > 0)
            break;
        n = wait_once(e, ep, events, max, until, now, precise, mask);
        if (n < 0 || (n > 0 && !s5_registry_any_in_flight(&e->registry)))
            break; /* nothing is in flight any more: the events are the application's */
        now = s5_clock_now();
        if (n == 0 && now >= until)
            break;
    }
    errno = saved;
    return n;
}
