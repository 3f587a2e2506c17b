/* libc's syscall(): the system calls that have a hook go to it. The kernel's conventions differ
 * from libc's in a few places only (the size of a signal mask, time-outs by pointer), told row by
 * row. */
#include "hooks.h"
#include <spawn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long (*syscall_fn)(long, long, long, long, long, long, long);

struct arguments {
    long a[6];
};

#define INT(i) ((int)v->a[i])
#define PTR(i) ((void *)v->a[i])

/* pselect6's sixth argument points to the mask and its size. */
static const sigset_t *select_mask(const struct arguments *v)
{
    const sigset_t *const *pair = PTR(5);
    return pair ? pair[0] : NULL;
}

/* True when NUMBER has a hook: its result is in *RET. */
static bool socket_call(long number, const struct arguments *v, long *ret)
{
    switch (number) {
    case SYS_connect:
        *ret = connect(INT(0), PTR(1), (socklen_t)v->a[2]);
        return true;
    case SYS_bind:
        *ret = bind(INT(0), PTR(1), (socklen_t)v->a[2]);
        return true;
    case SYS_listen:
        *ret = listen(INT(0), INT(1));
        return true;
    case SYS_accept:
        *ret = accept(INT(0), PTR(1), PTR(2));
        return true;
    case SYS_accept4:
        *ret = accept4(INT(0), PTR(1), PTR(2), INT(3));
        return true;
    case SYS_shutdown:
        *ret = shutdown(INT(0), INT(1));
        return true;
    case SYS_getsockname:
        *ret = getsockname(INT(0), PTR(1), PTR(2));
        return true;
    case SYS_sendto:
        *ret = sendto(INT(0), PTR(1), (size_t)v->a[2], INT(3), PTR(4), (socklen_t)v->a[5]);
        return true;
    case SYS_sendmsg:
        *ret = sendmsg(INT(0), PTR(1), INT(2));
        return true;
    case SYS_sendmmsg:
        *ret = sendmmsg(INT(0), PTR(1), (unsigned)v->a[2], INT(3));
        return true;
    case SYS_recvfrom:
        *ret = recvfrom(INT(0), PTR(1), (size_t)v->a[2], INT(3), PTR(4), PTR(5));
        return true;
    case SYS_recvmsg:
        *ret = recvmsg(INT(0), PTR(1), INT(2));
        return true;
    case SYS_recvmmsg:
        *ret = recvmmsg(INT(0), PTR(1), (unsigned)v->a[2], INT(3), PTR(4));
        return true;
    case SYS_ioctl:
        *ret = s5_hook_ioctl(INT(0), (unsigned long)v->a[1], PTR(2));
        return true;
    case SYS_readv:
        *ret = readv(INT(0), PTR(1), INT(2));
        return true;
    case SYS_writev:
        *ret = writev(INT(0), PTR(1), INT(2));
        return true;
    case SYS_read:
        *ret = read(INT(0), PTR(1), (size_t)v->a[2]);
        return true;
    case SYS_write:
        *ret = write(INT(0), PTR(1), (size_t)v->a[2]);
        return true;
    case SYS_getpeername:
        *ret = getpeername(INT(0), PTR(1), PTR(2));
        return true;
    case SYS_getsockopt:
        *ret = getsockopt(INT(0), INT(1), INT(2), PTR(3), PTR(4));
        return true;
    case SYS_setsockopt:
        *ret = setsockopt(INT(0), INT(1), INT(2), PTR(3), (socklen_t)v->a[4]);
        return true;
    default:
        return false;
    }
}

static bool wait_call(long number, const struct arguments *v, long *ret)
{
    switch (number) {
#ifdef SYS_poll
    case SYS_poll:
        *ret = poll(PTR(0), (nfds_t)v->a[1], INT(2));
        return true;
#endif
    case SYS_ppoll:
        *ret = ppoll(PTR(0), (nfds_t)v->a[1], PTR(2), PTR(3));
        return true;
#ifdef SYS_select
    case SYS_select:
        *ret = select(INT(0), PTR(1), PTR(2), PTR(3), PTR(4));
        return true;
#endif
    case SYS_pselect6:
        *ret = pselect(INT(0), PTR(1), PTR(2), PTR(3), PTR(4), select_mask(v));
        return true;
    case SYS_epoll_ctl:
        *ret = epoll_ctl(INT(0), INT(1), INT(2), PTR(3));
        return true;
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
        *ret = epoll_wait(INT(0), PTR(1), INT(2), INT(3));
        return true;
#endif
    case SYS_epoll_pwait:
        *ret = epoll_pwait(INT(0), PTR(1), INT(2), INT(3), PTR(4));
        return true;
    case SYS_epoll_pwait2:
        *ret = epoll_pwait2(INT(0), PTR(1), INT(2), PTR(3), PTR(4));
        return true;
    default:
        return false;
    }
}

static bool life_call(long number, const struct arguments *v, long *ret)
{
    switch (number) {
    case SYS_close:
        *ret = close(INT(0));
        return true;
    case SYS_close_range:
        *ret = close_range((unsigned)v->a[0], (unsigned)v->a[1], INT(2));
        return true;
    case SYS_dup:
        *ret = dup(INT(0));
        return true;
#ifdef SYS_dup2
    case SYS_dup2:
        *ret = dup2(INT(0), INT(1));
        return true;
#endif
    case SYS_dup3:
        *ret = dup3(INT(0), INT(1), INT(2));
        return true;
    case SYS_fcntl:
        *ret = s5_hook_fcntl(INT(0), INT(1), v->a[2]);
        return true;
    case SYS_execve:
        *ret = execve(PTR(0), PTR(1), PTR(2));
        return true;
    case SYS_execveat:
        *ret = execveat(INT(0), PTR(1), PTR(2), PTR(3), INT(4));
        return true;
    case SYS_io_uring_setup: /* it would connect where nobody sees it */
        *ret = s5_door(-ENOSYS);
        return true;
    default:
        return false;
    }
}

HOOK(long, syscall, (long number, ...))
{
    static syscall_fn real;
    struct arguments v;
    long ret;
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        v.a[i] = va_arg(args, long);
    va_end(args);
    if (socket_call(number, &v, &ret) || wait_call(number, &v, &ret) || life_call(number, &v, &ret))
        return ret;
    if (!real)
        real = (syscall_fn)s5_real_find("syscall");
    return real(number, v.a[0], v.a[1], v.a[2], v.a[3], v.a[4], v.a[5]);
}
