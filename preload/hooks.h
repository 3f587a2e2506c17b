/* The hook table: what each symbol of calls.def does, a row a symbol. The signatures are calls.def's.
 *
 *   REAL(name, ...)  libc's own
 *   OURS(call)       the engine's, its result turned into libc's
 *   STREAM(...)      octets of the application must wait while a negotiation is in flight */
#ifndef S5_PRELOAD_HOOKS_H
#define S5_PRELOAD_HOOKS_H

#include "real.h"

#define REAL(name, ...) s5_real.name(__VA_ARGS__)
#define OURS(call)      s5_door(call)
#define ENGINE          s5_preload()
#define STREAM(fd, nonblock, real)                                                                 \
    (!s5_gate_flying() ? (real) : OURS(s5_connect_await(ENGINE, fd, nonblock)) < 0 ? -1 : (real))

#define HOOK_connect(fd, addr, len) (int)OURS(s5_connect(ENGINE, fd, addr, len))
#define HOOK_listen(fd, backlog)    (int)OURS(s5_listen(ENGINE, fd, backlog))

#define HOOK_getpeername(fd, addr, len)                                                            \
    (s5_gate_ours(fd) ? (int)OURS(s5_getpeername(ENGINE, fd, addr, len))                           \
                      : REAL(getpeername, fd, addr, len))
#define HOOK_getsockname(fd, addr, len) REAL(getsockname, fd, addr, len)
#define HOOK_getsockopt(fd, level, name, value, len)                                               \
    (s5_gate_ours(fd) ? (int)OURS(s5_getsockopt(ENGINE, fd, level, name, value, len))              \
                      : REAL(getsockopt, fd, level, name, value, len))
#define HOOK_setsockopt(fd, level, name, value, len)                                               \
    (level == IPPROTO_SCTP ? (int)OURS(s5_setsockopt(ENGINE, fd, level, name, value, len))         \
                           : REAL(setsockopt, fd, level, name, value, len))

#define HOOK_read(fd, buf, n)         STREAM(fd, false, REAL(read, fd, buf, n))
#define HOOK_readv(fd, iov, n)        STREAM(fd, false, REAL(readv, fd, iov, n))
#define HOOK_recv(fd, buf, n, flags)  STREAM(fd, flags &MSG_DONTWAIT, REAL(recv, fd, buf, n, flags))
#define HOOK_recvmsg(fd, msg, flags)  STREAM(fd, flags &MSG_DONTWAIT, REAL(recvmsg, fd, msg, flags))
#define HOOK_write(fd, buf, n)        STREAM(fd, false, REAL(write, fd, buf, n))
#define HOOK_writev(fd, iov, n)       STREAM(fd, false, REAL(writev, fd, iov, n))
#define HOOK_send(fd, buf, n, flags)  STREAM(fd, flags &MSG_DONTWAIT, REAL(send, fd, buf, n, flags))
#define HOOK_sendfile(fd, in, at, n)  STREAM(fd, false, REAL(sendfile, fd, in, at, n))
#define HOOK_recvfrom(fd, buf, n, flags, addr, len)                                                \
    STREAM(fd, flags &MSG_DONTWAIT, REAL(recvfrom, fd, buf, n, flags, addr, len))
#define HOOK_recvmmsg(fd, msgs, n, flags, timeout)                                                 \
    STREAM(fd, flags &MSG_DONTWAIT, REAL(recvmmsg, fd, msgs, n, flags, timeout))
/* These three may name a destination. */
#define HOOK_sendto(fd, buf, n, flags, addr, len)                                                  \
    (addr || s5_gate_flying() ? OURS(s5_sendto(ENGINE, fd, buf, n, flags, addr, len))              \
                              : REAL(sendto, fd, buf, n, flags, addr, len))
#define HOOK_sendmsg(fd, msg, flags)                                                               \
    ((msg && msg->msg_name) || s5_gate_flying() ? OURS(s5_sendmsg(ENGINE, fd, msg, flags))         \
                                                : REAL(sendmsg, fd, msg, flags))
#define HOOK_sendmmsg(fd, msgs, n, flags) (int)OURS(s5_sendmmsg(ENGINE, fd, msgs, n, flags))

#define HOOK_poll(fds, n, timeout)                     s5_hook_poll(fds, n, timeout)
#define HOOK_ppoll(fds, n, timeout, mask)              s5_hook_ppoll(fds, n, timeout, mask)
#define HOOK_select(n, in, out, ex, timeout)           s5_hook_select(n, in, out, ex, timeout)
#define HOOK_pselect(n, in, out, ex, timeout, mask)    s5_hook_pselect(n, in, out, ex, timeout, mask)
#define HOOK_epoll_ctl(ep, op, fd, event)              s5_hook_epoll_ctl(ep, op, fd, event)
#define HOOK_epoll_wait(ep, events, n, timeout)        s5_hook_epoll_wait(ep, events, n, timeout)
#define HOOK_epoll_pwait(ep, events, n, timeout, mask)                                             \
    s5_hook_epoll_pwait(ep, events, n, timeout, mask)
#define HOOK_epoll_pwait2(ep, events, n, timeout, mask)                                            \
    s5_hook_epoll_pwait2(ep, events, n, timeout, mask)

#define HOOK_close(fd)                                                                             \
    (s5_gate_ours(fd) || fd == s5_preload_engine.tree_fd ? (int)OURS(s5_close(ENGINE, fd))         \
                                                         : REAL(close, fd))
#define HOOK_close_range(first, last, flags) (int)OURS(s5_close_range(ENGINE, first, last, flags))
#define HOOK_dup(fd)                         (int)OURS(s5_dup(ENGINE, fd))
#define HOOK_dup2(fd, to)                    (int)OURS(s5_dup3(ENGINE, fd, to, 0, true))
#define HOOK_dup3(fd, to, flags)             (int)OURS(s5_dup3(ENGINE, fd, to, flags, false))

/* waits.c */
int s5_hook_poll(struct pollfd *fds, nfds_t n, int timeout);
int s5_hook_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                  const sigset_t *mask);
int s5_hook_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout);
int s5_hook_pselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
                    const sigset_t *mask);
int s5_hook_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int s5_hook_epoll_wait(int ep, struct epoll_event *events, int n, int timeout);
int s5_hook_epoll_pwait(int ep, struct epoll_event *events, int n, int timeout,
                        const sigset_t *mask);
int s5_hook_epoll_pwait2(int ep, struct epoll_event *events, int n, const struct timespec *timeout,
                         const sigset_t *mask);

/* What a hook does with the arguments of fcntl beyond its table row. */
int s5_hook_fcntl(int fd, int command, long arg);

#endif
