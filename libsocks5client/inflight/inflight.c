/* A round of a call that waits:
 *
 * 1. The descriptors in flight are added after the caller's, each with the event that its negotiation waits for. Those
 *    that a blocking connect() drives are left out, since otherwise a hundred threads in connect() would wake each
 *    other.
 * 2. ppoll() waits for all of them, until the caller's timeout or the nearest deadline in flight. The same call
 *    applies the signal mask, as the program expects it.
 * 3. What is ready is stepped. A descriptor that the program is not waiting for may have been closed and reused where
 *    no hook saw it, so its cookie is compared first.
 *
 * A thread that sleeps in the kernel when another thread begins a negotiation does not continue it. The thread that
 * began it does so when it waits, or the next call that waits. */
#include "inflight.h"
#include "clock.h"
#include "complete.h"
#include "epoll_mask.h"
#include "fd_record.h"
#include "pool.h"
#include "record.h"
#include "registry.h"
#include "step.h"
#include "timeo.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* --- signals --- */

/* poll() is never restarted after a signal. connect() is, if the handler asks for it (SA_RESTART). Here a call is
 * restarted unless some handler of the program does not ask for it. */
bool s5_inflight_restarts(void)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction action;
        /* Handlers of faults run while no call waits. */
        if (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP ||
            sigaction(sig, NULL, &action) != 0)
            continue;
        if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN && !(action.sa_flags & SA_RESTART))
            return false;
    }
    return true;
}

/* --- poll sets --- */

static int grow_set(struct s5_pollset *set)
{
    nfds_t capacity = 4 * set->capacity;
    struct pollfd *fds = mmap(NULL, capacity * sizeof *fds, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fds == MAP_FAILED)
        return -ENOMEM;
    memcpy(fds, set->fds, set->n * sizeof *fds);
    s5_pollset_end(set);
    set->fds = fds;
    set->capacity = capacity;
    return 0;
}

int s5_pollset_add(struct s5_pollset *set, int fd, short events)
{
    if (__builtin_expect(set->n == set->capacity, 0) && grow_set(set) < 0)
        return -ENOMEM;
    set->fds[set->n++] = (struct pollfd){fd, events, 0};
    return 0;
}

void s5_pollset_end(struct s5_pollset *set)
{
    if (set->fds != set->near)
        munmap(set->fds, set->capacity * sizeof *set->fds);
}

/* --- what is in flight --- */

/* Returns the record in place AT, and its negotiation in *RET, if calls that wait must continue it; else NULL. */
static struct s5_record *get_undriven_record(struct s5_engine *e, uint32_t at, struct s5_negotiation **ret)
{
    struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
    struct s5_negotiation *f = record ? atomic_load(&record->negotiation) : NULL;
    *ret = f;
    return f && !s5_inflight_driven(e, f) ? record : NULL;
}

bool s5_inflight_any(struct s5_engine *e)
{
    uint32_t top = s5_registry_inflight_top(&e->registry);
    struct s5_negotiation *f;
    for (uint32_t at = 0; at < top; at++)
        if (get_undriven_record(e, at, &f))
            return true;
    return false;
}

uint64_t s5_inflight_due(struct s5_engine *e, int ep, bool *ret_beside)
{
    uint64_t due = S5_CLOCK_NEVER;
    uint32_t top = s5_registry_inflight_top(&e->registry);
    struct s5_negotiation *f;
    *ret_beside = false;
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = get_undriven_record(e, at, &f);
        uint64_t step_due = record ? atomic_load_explicit(&f->step_due, memory_order_relaxed) : due;
        due = step_due < due ? step_due : due;
        if (record && !*ret_beside)
            *ret_beside = !s5_epoll_reports(e, record, ep, NULL);
    }
    return due;
}

void s5_inflight_expire(struct s5_engine *e, uint64_t now)
{
    uint32_t top = s5_registry_inflight_top(&e->registry);
    struct s5_negotiation *f;
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = get_undriven_record(e, at, &f);
        if (record && atomic_load_explicit(&f->step_due, memory_order_relaxed) <= now)
            s5_complete_step(e, record, 0);
    }
}

/* --- a round --- */

/* Adds what is in flight to SET, and stores the time of the earliest step in *DUE. If another thread reads the last
 * octet of a negotiation, nothing remains on the socket that would end this wait, so a shared negotiation is checked
 * again after S5_POLL_INTERVAL. A socket that another thread is about to connect is not ready, although the kernel
 * reports that it is: it is checked again after 1 ms. */
static int add_in_flight(struct s5_engine *e, struct s5_pollset *set, int ep, uint64_t now, uint64_t *due)
{
    uint64_t interval = now + S5_POLL_INTERVAL, at_once = now + S5_CLOCK_SECOND / 1000;
    uint32_t top = s5_registry_inflight_top(&e->registry);
    struct s5_negotiation *f;
    *due = set->poll_interval ? interval : S5_CLOCK_NEVER;
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = get_undriven_record(e, at, &f);
        if (!record)
            continue;
        if (atomic_load(&f->phase) >= S5_NEGOTIATION_READY) { /* by another process */
            s5_complete(e, record);
            continue;
        }
        uint64_t step_due = atomic_load_explicit(&f->step_due, memory_order_relaxed);
        if (atomic_load(&f->phase) == S5_NEGOTIATION_TAKEN)
            step_due = at_once < step_due ? at_once : step_due;
        else if (ep < 0 || !s5_epoll_reports(e, record, ep, NULL)) {
            if (s5_pollset_add(set, atomic_load(&record->fd), atomic_load(&f->poll_events)) < 0)
                return -ENOMEM;
            step_due = interval < step_due && s5_negotiation_is_shared(f) ? interval : step_due;
        }
        *due = step_due < *due ? step_due : *due;
    }
    /* A descriptor that the caller has left out, since it was in flight then, may be in no set by now. */
    if (s5_registry_completed(&e->registry) != set->completed)
        *due = now;
    return 0;
}

/* Steps the negotiation of FD. Returns whether it ended. */
static bool step_ready_fd(struct s5_engine *e, int fd, short events)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_IN_FLIGHT || !s5_record_hold(record))
        return false; /* another thread completes or closes it */
    bool stale = s5_fd_forget_stale(e, fd);
    s5_fd_release_record(e, record);
    enum s5_step result = stale ? S5_STEP_GONE : s5_complete_step(e, record, events);
    if (result == S5_STEP_BUSY) /* another thread is stepping it, and what this one waits for remains ready */
        sched_yield();
    return result >= S5_STEP_DONE;
}

static int count_ready(const struct pollfd *fds, nfds_t n)
{
    int ready = 0;
    for (nfds_t i = 0; i < n; i++)
        ready += fds[i].revents != 0;
    return ready;
}

/* The program's set alone has the largest size that the kernel takes. What is in flight is stepped between waits of
 * S5_POLL_INTERVAL at most. */
static int poll_alternately(struct s5_engine *e, struct s5_pollset *set, nfds_t own, uint64_t until, uint64_t now,
                            const sigset_t *mask)
{
    struct timespec left;
    uint64_t interval = now + S5_POLL_INTERVAL;
    int r = e->real->ppoll(set->fds, own, s5_clock_left(interval < until ? interval : until, now, &left), mask);
    for (nfds_t i = own; r >= 0 && i < set->n; i++)
        set->fds[i].revents = set->fds[i].events;
    return r;
}

int s5_inflight_round(struct s5_engine *e, struct s5_pollset *set, int ep, uint64_t until, const sigset_t *mask,
                      bool *ret_ended)
{
    nfds_t own = set->n;
    uint64_t now = s5_clock_now(), due;
    struct timespec left;
    int r = add_in_flight(e, set, ep, now, &due);
    if (r == 0) {
        const struct timespec *limit = s5_clock_left(due < until ? due : until, now, &left);
        r = e->real->ppoll(set->fds, set->n, limit, mask);
        if (r < 0 && errno == EINVAL && set->n > own)
            r = poll_alternately(e, set, own, until, now, mask);
        r = r < 0 ? -errno : r;
    }
    if (r >= 0) {
        r = count_ready(set->fds, own);
        for (nfds_t i = own; i < set->n; i++)
            if (set->fds[i].revents)
                *ret_ended |= step_ready_fd(e, set->fds[i].fd, set->fds[i].revents);
        if (due != S5_CLOCK_NEVER)
            s5_inflight_expire(e, s5_clock_now());
    }
    set->n = own;
    return r;
}

int s5_inflight_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, uint64_t until)
{
    struct s5_pollset set;
    bool ended = false;
    int r = 0;
    s5_pollset_begin(&set);
    s5_pollset_look(e, &set);
    for (nfds_t i = 0; r == 0 && i < n; i++)
        r = s5_pollset_add(&set, fds[i].fd, fds[i].events);
    if (r == 0)
        r = s5_inflight_round(e, &set, -1, until, NULL, &ended);
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = r > 0 ? set.fds[i].revents : 0;
    s5_pollset_end(&set);
    return r;
}

/* --- before a call that may block --- */

uint64_t s5_inflight_block_until(struct s5_engine *e, int fd, int option)
{
    struct s5_timeo own = {0, 0};
    socklen_t len = sizeof own;
    e->real->getsockopt(fd, SOL_SOCKET, option, &own, &len);
    struct timespec ts = {own.tv_sec, own.tv_usec * 1000};
    return own.tv_sec || own.tv_usec ? s5_clock_after(&ts) : S5_CLOCK_NEVER;
}

int s5_inflight_await(struct s5_engine *e, int fd, short events, int option)
{
    int saved = errno, r = 0;
    if (!s5_inflight_any(e))
        return 0;
    int flags = e->real->fcntl(fd, F_GETFL, 0);
    uint64_t until = flags < 0 || (flags & O_NONBLOCK) ? 0 : s5_inflight_block_until(e, fd, option);
    /* If nothing is in flight any more, the call itself waits, unless a part of its timeout has passed. */
    while (until && r == 0 && (until != S5_CLOCK_NEVER || s5_inflight_any(e))) {
        struct pollfd p = {fd, events, 0};
        r = s5_inflight_poll(e, &p, 1, until);
        if (r == -EINTR && until == S5_CLOCK_NEVER && s5_inflight_restarts())
            r = 0;
        else if (r == 0 && s5_clock_now() >= until)
            r = -EAGAIN;
    }
    errno = saved;
    return r < 0 && r != -ENOMEM ? r : 0;
}

/* --- a direct connect() --- */

/* SO_SNDTIMEO ends the call after 1 us. The connection attempt continues in the kernel, and is waited for together
 * with what is in flight. Then the call is repeated, as after a signal. */
int s5_inflight_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    const struct s5_timeo moment = {0, 1};
    struct s5_timeo own;
    socklen_t size = sizeof own;
    uint64_t until = s5_inflight_any(e) ? s5_inflight_block_until(e, fd, S5_SNDTIMEO) : 0;
    if (!until || e->real->getsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &own, &size) != 0 ||
        e->real->setsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &moment, sizeof moment) != 0)
        return s5_engine_real_connect(e, fd, addr, len);
    int r = s5_engine_real_connect(e, fd, addr, len);
    e->real->setsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &own, sizeof own);
    while (r == -EINPROGRESS && s5_clock_now() < until) {
        struct pollfd p = {fd, POLLOUT, 0};
        int n = s5_inflight_poll(e, &p, 1, until);
        if (n == -EINTR && (until != S5_CLOCK_NEVER || !s5_inflight_restarts()))
            return n;
        if (n > 0 || (n < 0 && n != -EINTR))
            return s5_engine_real_connect(e, fd, addr, len);
    }
    return r;
}
