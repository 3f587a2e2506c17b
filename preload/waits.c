/* The hooks of poll, select and epoll. With nothing in flight, before the call and after it, they
 * are libc's. A wait that began with nothing in flight and ended with something is looked at again:
 * another thread may have started a negotiation on what was being waited for. */
#include "hooks.h"
#include <sys/time.h>

static struct timespec from_ms(int ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * 1000000l};
}

static int poll_ms(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec ts = from_ms(timeout);
    return (int)OURS(s5_poll(ENGINE, fds, n, timeout < 0 ? NULL : &ts, NULL));
}

int s5_hook_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (s5_gate_flying())
        return poll_ms(fds, n, timeout);
    int r = REAL(poll, fds, n, timeout);
    return r > 0 && s5_gate_flying() ? poll_ms(fds, n, timeout) : r;
}

int s5_hook_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                  const sigset_t *mask)
{
    if (s5_gate_flying())
        return (int)OURS(s5_poll(ENGINE, fds, n, timeout, mask));
    int r = REAL(ppoll, fds, n, timeout, mask);
    return r > 0 && s5_gate_flying() ? (int)OURS(s5_poll(ENGINE, fds, n, timeout, mask)) : r;
}

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t size))
{
    static int (*real)(struct pollfd *, nfds_t, int, size_t);
    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, int, size_t))s5_real_find("__poll_chk");
    /* A set smaller than told is libc's to complain about. */
    return size / sizeof *fds < n ? real(fds, n, timeout, size) : s5_hook_poll(fds, n, timeout);
}

HOOK(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
      size_t size))
{
    static int (*real)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *,
                        size_t))s5_real_find("__ppoll_chk");
    return size / sizeof *fds < n ? real(fds, n, timeout, mask, size)
                                  : s5_hook_ppoll(fds, n, timeout, mask);
}

/* --- select --- */

int s5_hook_pselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
                    const sigset_t *mask)
{
    if (s5_gate_flying())
        return (int)OURS(s5_select(ENGINE, n, in, out, ex, timeout, mask));
    return REAL(pselect, n, in, out, ex, timeout, mask);
}

/* Linux's select() tells what is left of the time-out. */
int s5_hook_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout)
{
    if (!s5_gate_flying())
        return REAL(select, n, in, out, ex, timeout);
    struct timespec ts, begin, end;
    if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)) {
        errno = EINVAL;
        return -1;
    }
    if (timeout)
        ts = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000,
                               timeout->tv_usec % 1000000 * 1000};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int r = (int)OURS(s5_select(ENGINE, n, in, out, ex, timeout ? &ts : NULL, NULL));
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (!timeout)
        return r;
    long long left = (ts.tv_sec - (end.tv_sec - begin.tv_sec)) * 1000000ll +
                     (ts.tv_nsec - (end.tv_nsec - begin.tv_nsec)) / 1000;
    left = left < 0 ? 0 : left;
    *timeout = (struct timeval){(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    return r;
}

/* --- epoll --- */

/* The common case, without the engine: where a descriptor of no negotiation is registered is noted
 * beside it, in case it is connected later. */
static inline bool note(int ep, int op, int fd, const struct epoll_event *event)
{
    struct s5_slot *slot = s5_registry_slot(&s5_preload_engine.registry, fd);
    if (!slot || atomic_load_explicit(&slot->record, memory_order_acquire))
        return false;
    int32_t have = atomic_load_explicit(&slot->ep, memory_order_relaxed);
    if (have && have != ep + 1)
        return false;
    if (op == EPOLL_CTL_DEL) {
        if (atomic_load_explicit(&slot->more, memory_order_relaxed))
            return false;
        atomic_store_explicit(&slot->ep, 0, memory_order_relaxed);
        return true;
    }
    if (!event)
        return false;
    atomic_store_explicit(&slot->events, event->events, memory_order_relaxed);
    atomic_store_explicit(&slot->data, event->data.u64, memory_order_relaxed);
    atomic_store_explicit(&slot->ep, ep + 1, memory_order_relaxed);
    return true;
}

int s5_hook_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
    if (__builtin_expect(note(ep, op, fd, event), 1))
        return REAL(epoll_ctl, ep, op, fd, event);
    return (int)OURS(s5_epoll_ctl(ENGINE, ep, op, fd, event));
}

static int again_ms(int ep, struct epoll_event *events, int max, int n, int timeout,
                    const sigset_t *mask)
{
    struct timespec ts = from_ms(timeout);
    return (int)OURS(s5_epoll_wait(ENGINE, ep, events, max, n, timeout < 0 ? NULL : &ts, mask));
}

int s5_hook_epoll_wait(int ep, struct epoll_event *events, int max, int timeout)
{
    if (s5_gate_flying())
        return again_ms(ep, events, max, 0, timeout, NULL);
    int n = REAL(epoll_wait, ep, events, max, timeout);
    return n > 0 && s5_gate_flying() ? again_ms(ep, events, max, n, timeout, NULL) : n;
}

int s5_hook_epoll_pwait(int ep, struct epoll_event *events, int max, int timeout,
                        const sigset_t *mask)
{
    if (s5_gate_flying())
        return again_ms(ep, events, max, 0, timeout, mask);
    int n = REAL(epoll_pwait, ep, events, max, timeout, mask);
    return n > 0 && s5_gate_flying() ? again_ms(ep, events, max, n, timeout, mask) : n;
}

int s5_hook_epoll_pwait2(int ep, struct epoll_event *events, int max,
                         const struct timespec *timeout, const sigset_t *mask)
{
    if (s5_gate_flying())
        return (int)OURS(s5_epoll_wait(ENGINE, ep, events, max, 0, timeout, mask));
    int n = REAL(epoll_pwait2, ep, events, max, timeout, mask);
    return n > 0 && s5_gate_flying()
               ? (int)OURS(s5_epoll_wait(ENGINE, ep, events, max, n, timeout, mask))
               : n;
}
