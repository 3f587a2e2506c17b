/* The hooks of poll(), select() and epoll. With nothing in flight before and after the call, they
 * are libc's functions. A wait that began with nothing in flight and ended with something in flight
 * is checked again: another thread may have started a negotiation on a descriptor of the wait. */
#include "hooks.h"
#include "epoll.h"
#include "poll_select.h"
#include "registry.h"
#include <sys/time.h>

/* Keeps the arguments of a wait on the stack until it returns. That is cheaper than in registers,
 * which would have to be saved first. */
#define PUT_ASIDE(args) __asm__ volatile("" : "+m"(args))

static struct timespec make_timespec(int ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * 1000000l};
}

/* --- poll --- */

/* Whether FDS can be read and written. Where that is not known yet, the kernel is asked what is
 * ready now: for that it reads and writes all of FDS. */
static bool can_access_fds(struct pollfd *fds, nfds_t n)
{
    if (n && n <= S5_USER_PAGE / sizeof *fds && s5_user_may(fds, n * sizeof *fds, S5_USER_READ) &&
        s5_user_knows((uintptr_t)fds, S5_USER_WRITE) &&
        s5_user_knows((uintptr_t)(fds + n) - 1, S5_USER_WRITE))
        return true;
    if (REAL(poll, fds, n, 0) < 0)
        return false;
    if (!n)
        return true;
    short last = fds[n - 1].revents;
    return s5_user_write(&fds[0].revents, &fds[0].revents, sizeof last) &&
           s5_user_write(&fds[n - 1].revents, &last, sizeof last);
}

ASIDE static int ours_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec ts = make_timespec(timeout);
    if (!can_access_fds(fds, n))
        return REAL(poll, fds, n, 0);
    return (int)TO_LIBC(s5_wait_poll(ENGINE, fds, n, timeout < 0 ? NULL : &ts, NULL));
}

ASIDE static int ours_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                            const sigset_t *mask)
{
    if (!can_access_fds(fds, n))
        return REAL(ppoll, fds, n, timeout, mask);
    return (int)TO_LIBC(s5_wait_poll(ENGINE, fds, n, timeout, mask));
}

HOOK(int, poll, (struct pollfd * fds, nfds_t n, int timeout))
{
    if (s5_gate_waits())
        return ours_poll(fds, n, timeout);
    struct {
        struct pollfd *fds;
        nfds_t n;
        int timeout;
    } kept = {fds, n, timeout};
    PUT_ASIDE(kept);
    int r = REAL(poll, fds, n, timeout);
    return s5_gate_waits() && r > 0 ? ours_poll(kept.fds, kept.n, kept.timeout) : r;
}

ALIAS(__poll, poll)

HOOK(int, ppoll,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask))
{
    if (s5_gate_waits())
        return ours_ppoll(fds, n, timeout, mask);
    int r = REAL(ppoll, fds, n, timeout, mask);
    return s5_gate_waits() && r > 0 ? ours_ppoll(fds, n, timeout, mask) : r;
}

/* --- select --- */

static bool can_write_bits(fd_set *set, int n)
{
    size_t size = (size_t)(n + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
    return !set || n <= 0 || s5_user_may(set, size, S5_USER_WRITE);
}

ASIDE static int ours_pselect(int n, fd_set *in, fd_set *out, fd_set *ex,
                              const struct timespec *timeout, const sigset_t *mask)
{
    if (!can_write_bits(in, n) || !can_write_bits(out, n) || !can_write_bits(ex, n))
        return (int)TO_LIBC(-EFAULT);
    return (int)TO_LIBC(s5_wait_select(ENGINE, n, in, out, ex, timeout, mask));
}

HOOK(int, pselect,
     (int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
      const sigset_t *mask))
{
    return s5_gate_waits() ? ours_pselect(n, in, out, ex, timeout, mask)
                           : REAL(pselect, n, in, out, ex, timeout, mask);
}

/* Linux's select() writes back the time that is left. */
static void write_time_left(struct timeval *timeout, const struct timespec *begin,
                            const struct timespec *end)
{
    long long left = timeout->tv_sec * 1000000ll + timeout->tv_usec -
                     (end->tv_sec - begin->tv_sec) * 1000000ll -
                     (end->tv_nsec - begin->tv_nsec) / 1000;
    left = left < 0 ? 0 : left;
    *timeout = (struct timeval){(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
}

ASIDE static int ours_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout)
{
    struct timespec ts, begin, end;
    if (!timeout)
        return ours_pselect(n, in, out, ex, NULL, NULL);
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) {
        errno = EINVAL;
        return -1;
    }
    ts = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000,
                           timeout->tv_usec % 1000000 * 1000};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int r = ours_pselect(n, in, out, ex, &ts, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    write_time_left(timeout, &begin, &end);
    return r;
}

HOOK(int, select, (int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout))
{
    return s5_gate_waits() ? ours_select(n, in, out, ex, timeout)
                           : REAL(select, n, in, out, ex, timeout);
}

ALIAS(__select, select)

/* --- epoll --- */

ASIDE static int ours_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
    if (!s5_gate_open())
        return REAL(epoll_ctl, ep, op, fd, event);
    return (int)TO_LIBC(s5_epoll_ctl(ENGINE, ep, op, fd, event));
}

/* The common case, without the engine. The registration of a descriptor without a negotiation is
 * noted in its slot, in case the descriptor is connected later. A note may outlive its registration
 * (EPOLL_CTL_DEL with an event comes this way too). That is detected when the note is used. */
HOOK(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *event))
{
    if ((unsigned)fd >= S5_CHUNK_SLOTS)
        return ours_epoll_ctl(ep, op, fd, event);
    struct s5_slot *slot = &s5_begin_engine.registry.near.slots[fd];
    __asm__("" : "+r"(slot)); /* one address for the accesses below */
    if (__builtin_expect(atomic_load_explicit(&slot->record, memory_order_acquire) != 0, 0) ||
        __builtin_expect(atomic_load_explicit(&slot->ep, memory_order_relaxed) != ep + 1, 0) ||
        !event)
        return ours_epoll_ctl(ep, op, fd, event);
    atomic_store_explicit(&slot->events, event->events, memory_order_relaxed);
    atomic_store_explicit(&slot->data, event->data.u64, memory_order_relaxed);
    return REAL(epoll_ctl, ep, op, fd, event);
}

/* EVENTS has N events of a wait that began with nothing in flight. */
ASIDE static int ours_epoll_pwait2(int ep, struct epoll_event *events, int max, int n,
                                   const struct timespec *timeout, const sigset_t *mask)
{
    return (int)TO_LIBC(s5_epoll_wait(ENGINE, ep, events, max, n, timeout, mask));
}

ASIDE static int ours_epoll_pwait(int ep, struct epoll_event *events, int max, int n, int timeout,
                                  const sigset_t *mask)
{
    struct timespec ts = make_timespec(timeout);
    return ours_epoll_pwait2(ep, events, max, n, timeout < 0 ? NULL : &ts, mask);
}

HOOK(int, epoll_wait, (int ep, struct epoll_event *events, int max, int timeout))
{
    if (s5_gate_in_flight())
        return ours_epoll_pwait(ep, events, max, 0, timeout, NULL);
    struct {
        struct epoll_event *events;
        int ep, max, timeout;
    } kept = {events, ep, max, timeout};
    PUT_ASIDE(kept);
    int n = REAL(epoll_wait, ep, events, max, timeout);
    return s5_gate_in_flight() && n > 0
               ? ours_epoll_pwait(kept.ep, kept.events, kept.max, n, kept.timeout, NULL)
               : n;
}

HOOK(int, epoll_pwait,
     (int ep, struct epoll_event *events, int max, int timeout, const sigset_t *mask))
{
    if (s5_gate_in_flight())
        return ours_epoll_pwait(ep, events, max, 0, timeout, mask);
    int n = REAL(epoll_pwait, ep, events, max, timeout, mask);
    return s5_gate_in_flight() && n > 0 ? ours_epoll_pwait(ep, events, max, n, timeout, mask) : n;
}

HOOK(int, epoll_pwait2,
     (int ep, struct epoll_event *events, int max, const struct timespec *timeout,
      const sigset_t *mask))
{
    if (s5_gate_in_flight())
        return ours_epoll_pwait2(ep, events, max, 0, timeout, mask);
    int n = REAL(epoll_pwait2, ep, events, max, timeout, mask);
    return s5_gate_in_flight() && n > 0 ? ours_epoll_pwait2(ep, events, max, n, timeout, mask) : n;
}
