/* Hooks of the preload object alone: what the compiler makes of calls with _FORTIFY_SOURCE, and
 * io_uring. */
#include "hooks.h"

/* --- what _FORTIFY_SOURCE makes of reads: libc's own checks, behind our gate --- */

#define CHECKED(ret, name, params, args, fd, ours)                                                 \
    ASIDE static ret ours_##name params                                                             \
    {                                                                                              \
        return DOOR(ours);                                                                         \
    }                                                                                              \
    HOOK(ret, name, params)                                                                        \
    {                                                                                              \
        static ret(*real) params;                                                                  \
        if (s5_gate_stream(fd) && n <= size)                                                       \
            return ours_##name args;                                                               \
        if (!real)                                                                                 \
            real = (ret(*) params)s5_real_find(#name);                                             \
        return real args;                                                                          \
    }

CHECKED(ssize_t, __read_chk, (int fd, void *buf, size_t n, size_t size), (fd, buf, n, size), fd,
        ((void)size, s5_read(ENGINE, fd, buf, n)))
CHECKED(ssize_t, __recv_chk, (int fd, void *buf, size_t n, size_t size, int flags),
        (fd, buf, n, size, flags), fd,
        ((void)size, s5_recvfrom(ENGINE, fd, buf, n, flags, NULL, NULL)))
CHECKED(ssize_t, __recvfrom_chk,
        (int fd, void *buf, size_t n, size_t size, int flags, struct sockaddr *addr,
         socklen_t *len),
        (fd, buf, n, size, flags, addr, len), fd,
        ((void)size, s5_recvfrom(ENGINE, fd, buf, n, flags, addr, len)))

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t size))
{
    static int (*real)(struct pollfd *, nfds_t, int, size_t);
    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, int, size_t))s5_real_find("__poll_chk");
    /* A set smaller than told is libc's to complain about. */
    return size / sizeof *fds < n ? real(fds, n, timeout, size) : poll(fds, n, timeout);
}

HOOK(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
      size_t size))
{
    static int (*real)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *,
                        size_t))s5_real_find(S5_SYMBOL(__ppoll_chk));
    return size / sizeof *fds < n ? real(fds, n, timeout, mask, size)
                                  : ppoll(fds, n, timeout, mask);
}

#if S5_TIME32
HOOK_AS(int, plain_ppoll_chk, "__ppoll_chk",
        (struct pollfd * fds, nfds_t n, const struct s5_timespec32 *timeout, const sigset_t *mask,
         size_t size))
{
    static int (*real)(struct pollfd *, nfds_t, const struct s5_timespec32 *, const sigset_t *,
                       size_t);
    if (!real)
        real = (int (*)(struct pollfd *, nfds_t, const struct s5_timespec32 *, const sigset_t *,
                        size_t))s5_real_find("__ppoll_chk");
    return size / sizeof *fds < n ? real(fds, n, timeout, mask, size)
                                  : hook_plain_ppoll(fds, n, timeout, mask);
}
#endif

/* --- io_uring would connect where nobody sees it; programs that use it know how to do without ---
 */

struct io_uring;
struct io_uring_params;

HOOK(int, io_uring_setup, (unsigned entries, struct io_uring_params *p))
{
    (void)entries, (void)p;
    return -ENOSYS; /* liburing's convention */
}

HOOK(int, io_uring_queue_init, (unsigned entries, struct io_uring *ring, unsigned flags))
{
    (void)entries, (void)ring, (void)flags;
    return -ENOSYS;
}

HOOK(int, io_uring_queue_init_params,
     (unsigned entries, struct io_uring *ring, struct io_uring_params *p))
{
    (void)entries, (void)ring, (void)p;
    return -ENOSYS;
}
