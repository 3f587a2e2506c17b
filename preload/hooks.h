/* The hook table: what each symbol of calls.def does, two lines a symbol. The signatures are
 * calls.def's.
 *
 *   GATE_name(args)  whether the call may be a matter of ours: a load and a branch, no more. Where
 *                    it is not, libc's own function is called in the hook's place (a tail call)
 *   OURS_name(args)  what then is done; a function of its own, so that the gate saves no registers
 *
 *   REAL(name, ...)  libc's own
 *   DOOR(call)       the engine's, its result turned into libc's
 *   STREAM(...)      octets of the application must wait while a negotiation is in flight */
#ifndef S5_PRELOAD_HOOKS_H
#define S5_PRELOAD_HOOKS_H

#include "nameserver.h"
#include "real.h"

#define COLD __attribute__((noinline, cold))

#define REAL(name, ...) s5_real.name(__VA_ARGS__)
#define DOOR(call)      s5_door(call)
#define ENGINE          s5_preload()
#define STREAM(fd, nonblock, real)                                                                 \
    (DOOR(s5_connect_await(ENGINE, fd, nonblock)) < 0 ? -1 : (real))

/* A resolver's socket, or OTHER. */
#define ASKED(fd, call, other) (s5_nameserver_has(ENGINE, fd) ? DOOR(call) : (other))
#define ASKED_PLAINLY(fd, buf, n, flags, other)                                                    \
    ASKED(fd, s5_nameserver_sendto(ENGINE, fd, buf, n, flags, NULL, 0), other)

#define GATE_connect(fd, addr, len) true
#define OURS_connect(fd, addr, len) (int)DOOR(s5_connect(ENGINE, fd, addr, len))
#define GATE_bind(fd, addr, len)    true
#define OURS_bind(fd, addr, len)    (int)DOOR(s5_bind(ENGINE, fd, addr, len))
#define GATE_listen(fd, backlog)    true
#define OURS_listen(fd, backlog)    (int)DOOR(s5_listen(ENGINE, fd, backlog))

#define GATE_accept(fd, addr, len)  s5_gate_ours(fd)
#define OURS_accept(fd, addr, len)  (int)DOOR(s5_accept(ENGINE, fd, addr, len, 0))
#define GATE_accept4(fd, addr, len, flags) s5_gate_ours(fd)
#define OURS_accept4(fd, addr, len, flags) (int)DOOR(s5_accept(ENGINE, fd, addr, len, flags))
#define GATE_shutdown(fd, how)      s5_gate_ours(fd)
#define OURS_shutdown(fd, how)      (int)DOOR(s5_shutdown(ENGINE, fd, how))

#define GATE_getpeername(fd, addr, len) s5_gate_ours(fd)
#define OURS_getpeername(fd, addr, len) (int)DOOR(s5_getpeername(ENGINE, fd, addr, len))
#define GATE_getsockname(fd, addr, len) s5_gate_ours(fd)
#define OURS_getsockname(fd, addr, len) (int)DOOR(s5_getsockname(ENGINE, fd, addr, len))
#define GATE_getsockopt(fd, level, name, value, len) s5_gate_ours(fd)
#define OURS_getsockopt(fd, level, name, value, len)                                               \
    (int)DOOR(s5_getsockopt(ENGINE, fd, level, name, value, len))
#define GATE_setsockopt(fd, level, name, value, len) (level == IPPROTO_SCTP)
#define OURS_setsockopt(fd, level, name, value, len)                                               \
    (int)DOOR(s5_setsockopt(ENGINE, fd, level, name, value, len))

#define GATE_read(fd, buf, n)         s5_gate_flying()
#define OURS_read(fd, buf, n)         STREAM(fd, false, REAL(read, fd, buf, n))
#define GATE_readv(fd, iov, n)        s5_gate_flying()
#define OURS_readv(fd, iov, n)        STREAM(fd, false, REAL(readv, fd, iov, n))
#define GATE_recv(fd, buf, n, flags)  s5_gate_flying()
#define OURS_recv(fd, buf, n, flags)  STREAM(fd, flags &MSG_DONTWAIT, REAL(recv, fd, buf, n, flags))
#define GATE_recvmsg(fd, msg, flags)  s5_gate_flying()
#define OURS_recvmsg(fd, msg, flags)                                                               \
    ASKED(fd, s5_nameserver_recvmsg(ENGINE, fd, msg, flags),                                       \
          STREAM(fd, flags &MSG_DONTWAIT, REAL(recvmsg, fd, msg, flags)))
#define GATE_write(fd, buf, n)        s5_gate_flying()
#define OURS_write(fd, buf, n)                                                                     \
    ASKED_PLAINLY(fd, buf, n, 0, STREAM(fd, false, REAL(write, fd, buf, n)))
#define GATE_writev(fd, iov, n)       s5_gate_flying()
#define OURS_writev(fd, iov, n)                                                                    \
    ASKED(fd, s5_nameserver_writev(ENGINE, fd, iov, n), STREAM(fd, false, REAL(writev, fd, iov, n)))
#define GATE_send(fd, buf, n, flags)  s5_gate_flying()
#define OURS_send(fd, buf, n, flags)                                                               \
    ASKED_PLAINLY(fd, buf, n, flags,                                                               \
                  STREAM(fd, flags &MSG_DONTWAIT, REAL(send, fd, buf, n, flags)))
#define GATE_sendfile(fd, in, at, n)  s5_gate_flying()
#define OURS_sendfile(fd, in, at, n)  STREAM(fd, false, REAL(sendfile, fd, in, at, n))
#define GATE_recvfrom(fd, buf, n, flags, addr, len) s5_gate_flying()
#define OURS_recvfrom(fd, buf, n, flags, addr, len)                                                \
    ASKED(fd, s5_nameserver_recvfrom(ENGINE, fd, buf, n, flags, addr, len),                        \
          STREAM(fd, flags &MSG_DONTWAIT, REAL(recvfrom, fd, buf, n, flags, addr, len)))
#define GATE_recvmmsg(fd, msgs, n, flags, timeout) s5_gate_flying()
#define OURS_recvmmsg(fd, msgs, n, flags, timeout)                                                 \
    (int)ASKED(fd, s5_nameserver_recvmmsg(ENGINE, fd, msgs, n, flags, timeout),                    \
               STREAM(fd, flags &MSG_DONTWAIT, REAL(recvmmsg, fd, msgs, n, flags, timeout)))
/* These three may name a destination. */
#define GATE_sendto(fd, buf, n, flags, addr, len) (addr || s5_gate_flying())
#define OURS_sendto(fd, buf, n, flags, addr, len)                                                  \
    DOOR(s5_sendto(ENGINE, fd, buf, n, flags, addr, len))
#define GATE_sendmsg(fd, msg, flags)      ((msg && msg->msg_name) || s5_gate_flying())
#define OURS_sendmsg(fd, msg, flags)      DOOR(s5_sendmsg(ENGINE, fd, msg, flags))
#define GATE_sendmmsg(fd, msgs, n, flags) true
#define OURS_sendmmsg(fd, msgs, n, flags) (int)DOOR(s5_sendmmsg(ENGINE, fd, msgs, n, flags))

#define GATE_close(fd) (s5_gate_ours(fd) || s5_gate_hidden(fd))
#define OURS_close(fd) (int)DOOR(s5_close(ENGINE, fd))
#define GATE_close_range(first, last, flags) true
#define OURS_close_range(first, last, flags) (int)DOOR(s5_close_range(ENGINE, first, last, flags))
#define GATE_dup(fd)             true
#define OURS_dup(fd)             (int)DOOR(s5_dup(ENGINE, fd))
#define GATE_dup2(fd, to)        true
#define OURS_dup2(fd, to)        (int)DOOR(s5_dup3(ENGINE, fd, to, 0, true))
#define GATE_dup3(fd, to, flags) true
#define OURS_dup3(fd, to, flags) (int)DOOR(s5_dup3(ENGINE, fd, to, flags, false))

/* What a hook does with the arguments of fcntl beyond its table row. */
int s5_hook_fcntl(int fd, int command, long arg);

#endif
