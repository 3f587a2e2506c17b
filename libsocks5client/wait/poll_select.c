/* poll() and select() while negotiations are in flight, or while there are listeners at a server.
 *
 * The call waits for a copy of the program's set:
 * - For a listener at a server it has the control connection, and the wakeup descriptor after the program's set.
 * - A descriptor in flight is not ready for the program. It is left out, since the round waits for all that is in
 *   flight.
 * - One that a blocking connect() of another thread drives has the events that its negotiation needs, so that this
 *   wait sees its end.
 *
 * When a negotiation ends, the set is checked again.
 *
 * select() is implemented by poll(), since internal descriptors are above the numbers that it supports. */
#include "poll_select.h"
#include "blocking.h"
#include "clock.h"
#include "complete.h"
#include "inflight.h"
#include "listener.h"
#include "listener_pool.h"
#include "record.h"
#include "registry.h"
#include "step.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ON_STACK 128

static void refresh_listener(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    if (!l || record->more->serial == atomic_load(&l->serial) || !s5_listener_try_lock(e, l))
        return;
    s5_listener_refresh(e, record);
    s5_listener_unlock(l);
}

/* Returns what is asked of the kernel for P, which is in flight. *RET_DRIVEN: another thread reads these octets. */
static struct pollfd get_in_flight_request(struct s5_engine *e, const struct pollfd *p, bool *ret_driven)
{
    struct s5_record *record = s5_complete_find(e, p->fd);
    struct s5_negotiation *f = record ? atomic_load(&record->negotiation) : NULL;
    if (!f)
        return (struct pollfd){p->fd, p->events, 0}; /* over by now */
    bool driven = s5_inflight_driven(e, f);
    *ret_driven |= driven;
    return (struct pollfd){driven ? p->fd : -1, atomic_load(&f->poll_events), 0};
}

/* Fills SET from FDS. *RET_IN_FLIGHT: some are in flight. 0 or -ENOMEM. */
static int fill_set(struct s5_engine *e, struct s5_pollset *set, const struct pollfd *fds, nfds_t n,
                    bool *ret_in_flight)
{
    bool listening = atomic_load(&e->registry.listening);
    *ret_in_flight = false;
    s5_pollset_look(e, set);
    for (nfds_t i = 0; i < n; i++) {
        struct s5_record *record = fds[i].fd < 0 ? NULL : s5_registry_find(&e->registry, fds[i].fd);
        uint32_t state = record ? atomic_load(&record->state) : S5_RECORD_FREE;
        struct pollfd ask = {fds[i].fd, fds[i].events, 0};
        if (state == S5_RECORD_IN_FLIGHT) {
            ask = get_in_flight_request(e, &fds[i], &set->poll_interval);
            *ret_in_flight = true;
        } else if (state == S5_RECORD_LISTENING) {
            refresh_listener(e, record);
            ask.fd = record->more->control;
            ask.events &= POLLIN | POLLRDNORM;
        }
        if (s5_pollset_add(set, ask.fd, ask.events) < 0)
            return -ENOMEM;
    }
    for (nfds_t i = 0; listening && i < n; i++) {
        struct s5_record *record = fds[i].fd < 0 ? NULL : s5_registry_find(&e->registry, fds[i].fd);
        bool is_listener = record && atomic_load(&record->state) == S5_RECORD_LISTENING;
        if (set->fds[i].fd != fds[i].fd && s5_pollset_add(set, is_listener ? record->more->wakeup_fd : -1, POLLIN) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Stores the events to report in FDS, and returns how many descriptors have any. A readable wakeup descriptor makes
 * its listener readable, and accept() does the rest. *RET_ENDED becomes true if a negotiation ended. */
static int report_events(struct s5_engine *e, const struct s5_pollset *set, struct pollfd *fds, nfds_t n,
                         bool *ret_ended)
{
    int ready = 0;
    nfds_t wakeup_fd = n;
    for (nfds_t i = 0; i < n; i++) {
        const struct pollfd *got = &set->fds[i];
        bool replaced = got->fd != fds[i].fd;
        struct s5_record *record = got->revents && !replaced ? s5_registry_find(&e->registry, got->fd) : NULL;
        fds[i].revents = got->revents;
        if (replaced && wakeup_fd < set->n && set->fds[wakeup_fd++].revents)
            fds[i].revents |= fds[i].events & (POLLIN | POLLRDNORM);
        if (record && atomic_load(&record->state) == S5_RECORD_IN_FLIGHT) {
            fds[i].revents = 0;
            *ret_ended |= s5_complete_step(e, record, got->revents) >= S5_STEP_DONE;
        } else if (!replaced && got->events != fds[i].events && got->revents) {
            fds[i].revents = 0; /* another thread completed it since */
            *ret_ended = true;
        }
        ready += fds[i].revents != 0;
    }
    return ready;
}

static int wait_poll(struct s5_engine *e, struct s5_pollset *set, struct pollfd *fds, nfds_t n, uint64_t until,
                     const sigset_t *mask)
{
    for (;;) {
        bool in_flight, ended = false;
        int r = fill_set(e, set, fds, n, &in_flight);
        if (r == 0)
            r = s5_inflight_round(e, set, -1, until, mask, &ended);
        if (r < 0)
            return r;
        r = report_events(e, set, fds, n, &ended);
        ended &= in_flight; /* else it is not in the program's set */
        if (r && !ended)
            return r;
        uint64_t now = s5_clock_now();
        if (r)
            until = now; /* report what is ready now, including the one that ended */
        else if (now >= until && !ended)
            return 0;
    }
}

int s5_wait_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                 const sigset_t *mask)
{
    struct s5_pollset set;
    int saved = errno;
    if (n > S5_CHUNKS * S5_CHUNK_SLOTS)
        return -EINVAL;
    s5_cleanup_look_here();
    s5_pollset_begin(&set);
    int r = wait_poll(e, &set, fds, n, s5_clock_after(timeout), mask);
    s5_pollset_end(&set);
    errno = saved;
    return r;
}

/* --- select() --- */

#define IN_ANSWERS  (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define OUT_ANSWERS (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)

static bool has_fd(const fd_set *set, int fd)
{
    const unsigned long *words = (const unsigned long *)set;
    int bits = 8 * (int)sizeof *words;
    return set && words[fd / bits] >> (fd % bits) & 1;
}

static void clear_fd(fd_set *set, int fd)
{
    unsigned long *words = (unsigned long *)set;
    int bits = 8 * (int)sizeof *words;
    if (set)
        words[fd / bits] &= ~(1ul << (fd % bits));
}

static nfds_t gather_fds(struct pollfd *fds, int n, const fd_set *in, const fd_set *out, const fd_set *ex)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        int events = (has_fd(in, fd) ? POLLIN : 0) | (has_fd(out, fd) ? POLLOUT : 0) | (has_fd(ex, fd) ? POLLPRI : 0);
        if (events)
            fds[count++] = (struct pollfd){fd, (short)events, 0};
    }
    return count;
}

/* Returns the number of bits that P sets, and which they are. */
static int get_ready_bits(const struct pollfd *p, bool *ret_in, bool *ret_out, bool *ret_ex)
{
    *ret_in = p->events & POLLIN && p->revents & IN_ANSWERS;
    *ret_out = p->events & POLLOUT && p->revents & OUT_ANSWERS;
    *ret_ex = p->events & POLLPRI && p->revents & POLLPRI;
    return *ret_in + *ret_out + *ret_ex;
}

/* Returns the number of bits to report, or -EBADF. poll() also reports what select() was not asked for, for example a
 * hang-up of a descriptor that is to be written. Such a descriptor is left out from then on. */
static int count_ready_bits(struct pollfd *fds, nfds_t count)
{
    bool in, out, ex;
    int bits = 0;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].revents & POLLNVAL)
            return -EBADF;
        int own = get_ready_bits(&fds[i], &in, &out, &ex);
        if (!own && fds[i].revents)
            fds[i].fd = ~fds[i].fd;
        bits += own;
    }
    return bits;
}

static void scatter_fds(const struct pollfd *fds, nfds_t count, fd_set *in, fd_set *out, fd_set *ex)
{
    bool readable, writable, urgent;
    for (nfds_t i = 0; i < count; i++) {
        int fd = fds[i].fd < 0 ? ~fds[i].fd : fds[i].fd;
        get_ready_bits(&fds[i], &readable, &writable, &urgent);
        if (!readable)
            clear_fd(in, fd);
        if (!writable)
            clear_fd(out, fd);
        if (!urgent)
            clear_fd(ex, fd);
    }
}

static int wait_select(struct s5_engine *e, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask)
{
    uint64_t until = s5_clock_after(timeout);
    struct timespec left;
    for (;;) {
        int r = s5_wait_poll(e, fds, count, timeout, mask);
        if (r > 0)
            r = count_ready_bits(fds, count);
        uint64_t now = s5_clock_now();
        if (r != 0 || now >= until)
            return r;
        timeout = s5_clock_left(until, now, &left);
    }
}

int s5_wait_select(struct s5_engine *e, int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
                   const sigset_t *mask)
{
    struct pollfd near[ON_STACK], *fds = near;
    if (n < 0 || (unsigned)n > S5_CHUNKS * S5_CHUNK_SLOTS)
        return -EINVAL;
    s5_cleanup_look_here();
    size_t size = (size_t)n * sizeof *fds;
    if (n > ON_STACK)
        fds = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fds == MAP_FAILED)
        return -ENOMEM;
    nfds_t count = gather_fds(fds, n, in, out, ex);
    int r = wait_select(e, fds, count, timeout, mask);
    if (r >= 0)
        scatter_fds(fds, count, in, out, ex);
    if (fds != near)
        munmap(fds, size);
    return r;
}
