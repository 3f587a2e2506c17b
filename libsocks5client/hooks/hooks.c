/* The hook table, expanded to one exported function per row. Below it are the symbols that libc has
 * twice, and the functions whose shape the table cannot describe. */
#include "hooks.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define S5_REAL(ret, name, params, args)
#define S5_WAIT(ret, name, params, args)
#define S5_KEYED(ret, name, params, args)
#define S5_CALL(ret, name, params, args)                                                           \
    ASIDE static ret ours_##name params                                                            \
    {                                                                                              \
        return OURS_##name args;                                                                   \
    }                                                                                              \
    HOOK(ret, name, params)                                                                        \
    {                                                                                              \
        return __builtin_expect(GATE_##name args, 0) ? ours_##name args : s5_real.name args;       \
    }
#include "system_calls.def"
#include "fd_record.h"
#include "fd_ops.h"

/* --- other names of the same functions --- */

ALIAS(__connect, connect)
ALIAS(__send, send)
ALIAS(__write, write)
ALIAS(__read, read)
ALIAS(__close, close)
ALIAS(__dup2, dup2)
ALIAS(sendfile64, sendfile)
ALIAS(preadv64v2, preadv2)
ALIAS(pwritev64v2, pwritev2)
#if S5_TIME32
ALIAS(__sendmsg64, sendmsg)
ALIAS(__sendmmsg64, sendmmsg)
ALIAS(__getsockopt64, getsockopt)
ALIAS(__setsockopt64, setsockopt)
#endif

/* A function of its own, so that a message that names nothing saves no registers. */
ASIDE ssize_t s5_hook_full_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return TO_LIBC(s5_pass_sendmsg(ENGINE, fd, msg, flags));
}

/* --- fcntl --- */

int s5_hook_fcntl(int fd, int command, long arg)
{
    if ((command != F_DUPFD && command != F_DUPFD_CLOEXEC) || !s5_gate_open())
        return REAL(fcntl, fd, command, arg);
    return (int)TO_LIBC(s5_fcntl(ENGINE, fd, command, arg));
}

HOOK(int, fcntl, (int fd, int command, ...))
{
    va_list args;
    va_start(args, command);
    long arg = va_arg(args, long);
    va_end(args);
    return s5_hook_fcntl(fd, command, arg);
}

#if !S5_TIME32
ALIAS(fcntl64, fcntl)
#endif
ALIAS(__fcntl, fcntl)

/* --- ioctl: FIONREAD reports the size of a datagram --- */

ASIDE static int report_next_size(int fd, unsigned long request, void *arg)
{
    int n = s5_next_size(ENGINE, fd);
    if (n == -ENOTTY)
        return REAL(ioctl, fd, request, arg);
    if (n >= 0 && !s5_user_write(arg, &n, sizeof n))
        n = -EFAULT;
    return (int)TO_LIBC(n < 0 ? n : 0);
}

int s5_hook_ioctl(int fd, unsigned long request, void *arg)
{
    return request == FIONREAD && s5_gate_stream(fd) ? report_next_size(fd, request, arg)
                                                     : REAL(ioctl, fd, request, arg);
}

HOOK(int, ioctl, (int fd, unsigned long request, ...))
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    return s5_hook_ioctl(fd, request, arg);
}

#if S5_TIME32
ALIAS(__ioctl_time64, ioctl)
#endif

/* --- other ways to close --- */

HOOK(void, closefrom, (int first))
{
    if (s5_gate_open()) {
        s5_closefrom(ENGINE, first);
        return;
    }
    S5_NEXT(real, "closefrom", void, (int));
    real(first);
}

/* stdio closes its descriptor where no hook sees it. */
HOOK(int, fclose, (FILE * stream))
{
    S5_NEXT(real, "fclose", int, (FILE *));
    if (stream && s5_gate_ours(fileno(stream)) && s5_engine_owns_memory(ENGINE))
        s5_fd_forget(ENGINE, fileno(stream));
    return real(stream);
}

ALIAS(_IO_fclose, fclose)

/* --- libc's clients of the r-commands resolve and connect where no hook sees it; they
 * are refused, whatever their arguments --- */

#define REFUSED(name)                                                                              \
    HOOK(int, name, (void))                                                                        \
    {                                                                                              \
        s5_log(&ENGINE->log, S5_LOG_ERROR, "refused: " #name "() connects by itself");             \
        return (int)TO_LIBC(-EOPNOTSUPP);                                                             \
    }

REFUSED(rcmd)
REFUSED(rcmd_af)
REFUSED(rexec)
REFUSED(rexec_af)
