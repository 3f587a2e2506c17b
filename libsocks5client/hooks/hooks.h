/* The hook table: what each symbol of system_calls.def does, in two lines per symbol. The
 * signatures are those of system_calls.def.
 *
 *   GATE_name(args)  whether the call may concern the engine: a load and a branch, no more. If
 *                    not, libc's function is called in the hook's place (a tail call)
 *   OURS_name(args)  what is done then, in a function of its own, so that the gate saves no
 *                    registers
 *
 *   REAL(name, ...)  libc's function
 *   TO_LIBC(call)       a function of the engine, with its result converted to libc's */
#ifndef S5_HOOKS_H
#define S5_HOOKS_H

#include "own_io.h"
#include "io.h"
#include "keyed.h"
#include "pass.h"
#include "real.h"
#include "user_memory.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"
#include "bind.h"
#include "accept.h"

/* Not marked as cold: the compiler would also make the functions they call small and slow. */
#define ASIDE __attribute__((noinline))

#define REAL(name, ...) s5_real.name(__VA_ARGS__)
#define TO_LIBC(call)      s5_hook_result(call)
#define ENGINE          s5_begin()

#define GATE_connect(fd, addr, len) s5_gate_open()
#define OURS_connect(fd, addr, len) (s5_pass_tidy(&s5_begin_engine), (int)TO_LIBC(s5_connect(ENGINE, fd, addr, len)))
#define GATE_bind(fd, addr, len)    s5_gate_open()
#define OURS_bind(fd, addr, len)    (int)TO_LIBC(s5_bind(ENGINE, fd, addr, len))
#define GATE_listen(fd, backlog)    s5_gate_open()
#define OURS_listen(fd, backlog)    (int)TO_LIBC(s5_listen(ENGINE, fd, backlog))

#define GATE_accept(fd, addr, len)  (s5_gate_ours(fd) || s5_gate_in_flight())
#define OURS_accept(fd, addr, len)  (int)TO_LIBC(s5_accept(ENGINE, fd, addr, len, 0))
#define GATE_accept4(fd, addr, len, flags) (s5_gate_ours(fd) || s5_gate_in_flight())
#define OURS_accept4(fd, addr, len, flags) (int)TO_LIBC(s5_accept(ENGINE, fd, addr, len, flags))
#define GATE_shutdown(fd, how)      s5_gate_ours(fd)
#define OURS_shutdown(fd, how)      (int)TO_LIBC(s5_shutdown(ENGINE, fd, how))

#define GATE_getpeername(fd, addr, len) s5_gate_ours(fd)
#define OURS_getpeername(fd, addr, len) (int)TO_LIBC(s5_getpeername(ENGINE, fd, addr, len))
#define GATE_getsockname(fd, addr, len) s5_gate_ours(fd)
#define OURS_getsockname(fd, addr, len) (int)TO_LIBC(s5_getsockname(ENGINE, fd, addr, len))
#define GATE_getsockopt(fd, level, name, value, len) s5_gate_ours(fd)
#define OURS_getsockopt(fd, level, name, value, len)                                               \
    (int)TO_LIBC(s5_getsockopt(ENGINE, fd, level, name, value, len))
#define GATE_setsockopt(fd, level, name, value, len)                                               \
    ((level == IPPROTO_SCTP || level == IPPROTO_UDP || level == IPPROTO_IP || level == IPPROTO_IPV6 || \
      (level == SOL_SOCKET && name == SO_RCVLOWAT)) &&                                             \
     s5_gate_open())
#define OURS_setsockopt(fd, level, name, value, len)                                               \
    (int)TO_LIBC(s5_setsockopt(ENGINE, fd, level, name, value, len))

#define GATE_read(fd, buf, n)         s5_gate_stream(fd)
#define OURS_read(fd, buf, n)         TO_LIBC(s5_read(ENGINE, fd, buf, n))
#define GATE_readv(fd, iov, n)        s5_gate_stream(fd)
#define OURS_readv(fd, iov, n)        TO_LIBC(s5_readv(ENGINE, fd, iov, n))
#define GATE_recv(fd, buf, n, flags)  s5_gate_stream(fd)
#define OURS_recv(fd, buf, n, flags)  TO_LIBC(s5_recvfrom(ENGINE, fd, buf, n, flags, NULL, NULL))
/* A message with space for descriptors may receive one that is passed while the call waits. */
#define GATE_recvmsg(fd, msg, flags)                                                               \
    (s5_gate_stream(fd) || ((!s5_pass_knows(msg) || (msg)->msg_controllen) && s5_gate_open()))
#define OURS_recvmsg(fd, msg, flags)  TO_LIBC(s5_pass_recvmsg(ENGINE, fd, msg, flags))
#define GATE_write(fd, buf, n)        s5_gate_stream(fd)
#define OURS_write(fd, buf, n)        TO_LIBC(s5_write(ENGINE, fd, buf, n))
#define GATE_writev(fd, iov, n)       s5_gate_stream(fd)
#define OURS_writev(fd, iov, n)       TO_LIBC(s5_writev(ENGINE, fd, iov, n))
#define GATE_send(fd, buf, n, flags)  s5_gate_stream(fd)
#define OURS_send(fd, buf, n, flags)  TO_LIBC(s5_send(ENGINE, fd, buf, n, flags))
#define GATE_sendfile(fd, in, at, n)  s5_gate_stream(fd)
#define OURS_sendfile(fd, in, at, n)  TO_LIBC(s5_sendfile(ENGINE, fd, in, at, n))
#define GATE_splice(in, in_at, out, out_at, n, flags) (s5_gate_stream(in) || s5_gate_stream(out))
#define OURS_splice(in, in_at, out, out_at, n, flags)                                              \
    TO_LIBC(s5_splice(ENGINE, in, in_at, out, out_at, n, flags))
#define GATE_preadv2(fd, iov, n, at, flags)  s5_gate_stream(fd)
#define OURS_preadv2(fd, iov, n, at, flags)  TO_LIBC(s5_preadv2(ENGINE, fd, iov, n, at, flags))
#define GATE_pwritev2(fd, iov, n, at, flags) s5_gate_stream(fd)
#define OURS_pwritev2(fd, iov, n, at, flags) TO_LIBC(s5_pwritev2(ENGINE, fd, iov, n, at, flags))
#define GATE_recvfrom(fd, buf, n, flags, addr, len) s5_gate_stream(fd)
#define OURS_recvfrom(fd, buf, n, flags, addr, len)                                                \
    TO_LIBC(s5_recvfrom(ENGINE, fd, buf, n, flags, addr, len))
#define GATE_recvmmsg(fd, msgs, n, flags, timeout) s5_gate_open()
#define OURS_recvmmsg(fd, msgs, n, flags, timeout)                                                 \
    (int)TO_LIBC(s5_pass_recvmmsg(ENGINE, fd, msgs, n, flags, timeout))
/* libc's sendto() is socketcall() on i386, whose arguments are in memory: within a fence it costs a message to the
 * companion, or fails without one. */
#ifdef __i386__
#define S5_SOCKETCALL 1
#else
#define S5_SOCKETCALL 0
#endif
/* The next three may name a destination. */
#define GATE_sendto(fd, buf, n, flags, addr, len)                                                  \
    (((addr || (S5_SOCKETCALL && s5_fence_possible())) && s5_gate_open()) || s5_gate_stream(fd))
#define OURS_sendto(fd, buf, n, flags, addr, len)                                                  \
    TO_LIBC(s5_sendto(ENGINE, fd, buf, n, flags, addr, len))
/* A message that is not known to be readable may name a destination, or carry descriptors. Within a fence every
 * message needs the key. */
#define IS_PLAIN(fd, msg)                                                                          \
    (s5_pass_knows(msg) && !(msg)->msg_name && !(msg)->msg_controllen && !s5_gate_stream(fd))
#define GATE_sendmsg(fd, msg, flags)                                                               \
    (((s5_fence_possible() || !s5_pass_knows(msg) || (msg)->msg_name || (msg)->msg_controllen) &&  \
      s5_gate_open()) ||                                                                           \
     s5_gate_stream(fd))
#define OURS_sendmsg(fd, msg, flags)                                                               \
    (IS_PLAIN(fd, msg) ? s5_hook_plain_sendmsg(fd, msg, flags)                                     \
                       : s5_hook_full_sendmsg(fd, msg, flags))
#define GATE_sendmmsg(fd, msgs, n, flags) s5_gate_open()
#define OURS_sendmmsg(fd, msgs, n, flags) (int)TO_LIBC(s5_pass_sendmmsg(ENGINE, fd, msgs, n, flags))

#define GATE_pidfd_getfd(pidfd, fd, flags) s5_gate_open()
#define OURS_pidfd_getfd(pidfd, fd, flags) (int)TO_LIBC(s5_pass_pidfd_getfd(ENGINE, pidfd, fd, flags))

#define GATE_close(fd) (s5_gate_ours(fd) || s5_gate_internal(fd))
#define OURS_close(fd) (s5_pass_tidy(&s5_begin_engine), (int)TO_LIBC(s5_close(ENGINE, fd)))
#define GATE_close_range(first, last, flags) s5_gate_open()
#define OURS_close_range(first, last, flags) (int)TO_LIBC(s5_close_range(ENGINE, first, last, flags))
#define GATE_dup(fd)             s5_gate_open()
#define OURS_dup(fd)             (int)TO_LIBC(s5_dup(ENGINE, fd))
#define GATE_dup2(fd, to)        s5_gate_open()
#define OURS_dup2(fd, to)        (int)TO_LIBC(s5_dup3(ENGINE, fd, to, 0, true))
#define GATE_dup3(fd, to, flags) s5_gate_open()
#define OURS_dup3(fd, to, flags) (int)TO_LIBC(s5_dup3(ENGINE, fd, to, flags, false))

/* Sends any message. */
ssize_t s5_hook_full_sendmsg(int fd, const struct msghdr *msg, int flags);
/* Sends a message that names nothing and carries nothing. */
static inline ssize_t s5_hook_plain_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct msghdr own = *msg;
    own.msg_name = NULL; /* another thread may have changed it since */
    own.msg_namelen = 0;
    own.msg_control = NULL;
    own.msg_controllen = 0;
    return s5_real.keyed_sendmsg(fd, &own, flags);
}

/* fcntl() and ioctl() with their argument, for the hooks and for syscall(). */
int s5_hook_fcntl(int fd, int command, long arg);
int s5_hook_ioctl(int fd, unsigned long request, void *arg);

#endif
