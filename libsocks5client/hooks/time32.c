/* Hooks of the functions that libc has in two widths, under their plain names (see time32.h): they
 * convert the types and call the wide hook. Also further names of functions whose types are the
 * same in both widths. */
#include "hooks.h"
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#if S5_TIME32

/* The wide hooks, which other files define. */
#define WIDE(ret, name, params) ret wide_##name params __asm__(S5_REAL_PREFIX S5_SYMBOL(name))
WIDE(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *));
WIDE(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *));
WIDE(int, pselect,
     (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *));
WIDE(int, epoll_pwait2,
     (int, struct epoll_event *, int, const struct timespec *, const sigset_t *));
WIDE(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *));

/* --- time-outs --- */

HOOK_AS(int, plain_ppoll, "ppoll",
        (struct pollfd * fds, nfds_t n, const struct s5_timespec32 *timeout, const sigset_t *mask))
{
    struct timespec ts;
    return wide_ppoll(fds, n, s5_timespec_widen(timeout, &ts), mask);
}

HOOK_AS(int, plain_select, "select",
        (int n, fd_set *in, fd_set *out, fd_set *ex, struct s5_timeval32 *timeout))
{
    if (!timeout)
        return wide_select(n, in, out, ex, NULL);
    struct timeval tv = {.tv_sec = timeout->tv_sec, .tv_usec = timeout->tv_usec};
    int r = wide_select(n, in, out, ex, &tv);
    *timeout = (struct s5_timeval32){(int32_t)tv.tv_sec, (int32_t)tv.tv_usec};
    return r;
}

#if !S5_DROP
EXPORT __typeof__(hook_plain_select) alias_plain_select
    __asm__("__select") __attribute__((alias("select")));
#endif

HOOK_AS(int, plain_pselect, "pselect",
        (int n, fd_set *in, fd_set *out, fd_set *ex, const struct s5_timespec32 *timeout,
         const sigset_t *mask))
{
    struct timespec ts;
    return wide_pselect(n, in, out, ex, s5_timespec_widen(timeout, &ts), mask);
}

HOOK_AS(int, plain_epoll_pwait2, "epoll_pwait2",
        (int ep, struct epoll_event *events, int max, const struct s5_timespec32 *timeout,
         const sigset_t *mask))
{
    struct timespec ts;
    return wide_epoll_pwait2(ep, events, max, s5_timespec_widen(timeout, &ts), mask);
}

HOOK_AS(int, plain_recvmmsg, "recvmmsg",
        (int fd, struct mmsghdr *msgs, unsigned n, int flags, struct s5_timespec32 *timeout))
{
    if (!timeout)
        return wide_recvmmsg(fd, msgs, n, flags, NULL);
    struct timespec ts;
    s5_timespec_widen(timeout, &ts);
    int r = wide_recvmmsg(fd, msgs, n, flags, &ts);
    if (r >= 0) /* what is left of it */
        *timeout = (struct s5_timespec32){(int32_t)ts.tv_sec, (int32_t)ts.tv_nsec};
    return r;
}

/* --- offsets --- */

/* As in the kernel for callers with a 32-bit off_t: nothing is sent beyond the largest offset. */
ASIDE static ssize_t ours_plain_sendfile(int fd, int in, int32_t *at, size_t n)
{
    if (!at)
        return TO_LIBC(s5_sendfile(ENGINE, fd, in, NULL, n));
    off_t offset = *at;
    if (offset < 0 || offset == INT32_MAX)
        return TO_LIBC(offset < 0 ? -EINVAL : -EOVERFLOW);
    size_t most = (size_t)(INT32_MAX - offset);
    ssize_t sent = TO_LIBC(s5_sendfile(ENGINE, fd, in, &offset, n < most ? n : most));
    *at = (int32_t)offset;
    return sent;
}

HOOK_AS(ssize_t, plain_sendfile, "sendfile", (int fd, int in, int32_t *at, size_t n))
{
    if (s5_gate_stream(fd))
        return ours_plain_sendfile(fd, in, at, n);
    S5_NEXT(real, "sendfile", ssize_t, (int, int, int32_t *, size_t));
    return real(fd, in, at, n);
}

#define VECTORS(name)                                                                              \
    WIDE(ssize_t, name, (int, const struct iovec *, int, off_t, int));                             \
    HOOK_AS(ssize_t, plain_##name, #name,                                                          \
            (int fd, const struct iovec *iov, int n, int32_t at, int flags))                       \
    {                                                                                              \
        if (s5_gate_stream(fd))                                                                    \
            return wide_##name(fd, iov, n, at, flags);                                             \
        S5_NEXT(real, #name, ssize_t, (int, const struct iovec *, int, int32_t, int));             \
        return real(fd, iov, n, at, flags);                                                        \
    }

VECTORS(preadv2)
VECTORS(pwritev2)

/* --- the same types in both widths; libc's functions differ in the treatment of time stamps
 * and of locks --- */

/* A kernel without 64-bit time stamps (before Linux 5.1) returns 32-bit ones. libc, which requested
 * those for the program, appends 64-bit ones, and so does this function. SIZE: octets of space for
 * control messages. */
static void widen_stamps(struct msghdr *msg, size_t size)
{
    enum { STAMP = 29, STAMP_NS = 35, WIDE_STAMP = 63, WIDE_STAMP_NS = 64 };
    const struct cmsghdr *c;
    int32_t narrow[2];
    int64_t wide[2];
    int type = 0;
    for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, (struct cmsghdr *)c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_len != CMSG_LEN(sizeof narrow) ||
            (c->cmsg_type != STAMP && c->cmsg_type != STAMP_NS))
            continue;
        type = c->cmsg_type == STAMP ? WIDE_STAMP : WIDE_STAMP_NS;
        memcpy(narrow, CMSG_DATA(c), sizeof narrow);
    }
    size_t at = CMSG_ALIGN(msg->msg_controllen);
    if (!type)
        return;
    if (at > size || size - at < CMSG_SPACE(sizeof wide)) {
        msg->msg_flags |= MSG_CTRUNC;
        return;
    }
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(sizeof wide), .cmsg_level = SOL_SOCKET,
                           .cmsg_type = type};
    char *to = (char *)msg->msg_control + at;
    wide[0] = narrow[0];
    wide[1] = narrow[1];
    memcpy(to, &head, sizeof head);
    memcpy(to + CMSG_LEN(0), wide, sizeof wide);
    msg->msg_controllen = at + CMSG_SPACE(sizeof wide);
}

ASIDE static ssize_t ours_wide_recvmsg(int fd, struct msghdr *msg, int flags)
{
    size_t size = s5_user_may(msg, sizeof *msg, S5_USER_READ) ? msg->msg_controllen : 0;
    ssize_t n = s5_pass_recvmsg(ENGINE, fd, msg, flags);
    if (n >= 0 && msg && msg->msg_control && size)
        widen_stamps(msg, size);
    return TO_LIBC(n);
}

HOOK_AS(ssize_t, wide_recvmsg, "__recvmsg64", (int fd, struct msghdr *msg, int flags))
{
    if (s5_gate_stream(fd) || ((!s5_pass_knows(msg) || msg->msg_controllen) && s5_gate_open()))
        return ours_wide_recvmsg(fd, msg, flags);
    S5_NEXT(real, "__recvmsg64", ssize_t, (int, struct msghdr *, int));
    return real(fd, msg, flags);
}

HOOK_AS(int, wide_fcntl, "__fcntl_time64", (int fd, int command, ...))
{
    va_list args;
    va_start(args, command);
    long arg = va_arg(args, long);
    va_end(args);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        return s5_hook_fcntl(fd, command, arg);
    S5_NEXT(real, "__fcntl_time64", int, (int, int, ...));
    return real(fd, command, arg);
}

#if !S5_DROP
EXPORT __typeof__(hook_wide_fcntl) alias_wide_fcntl
    __asm__("fcntl64") __attribute__((alias("__fcntl_time64")));
#endif

#endif
