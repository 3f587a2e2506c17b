/* libc's syscall(): a system call that has a hook is passed to it. The kernel's conventions differ from libc's in a few
 * places only (the size of a signal mask, time-outs by pointer), which are noted row by row. The calls that wait differ
 * most: see struct limit.
 *
 * On 32-bit machines a system call without "time64" or "64" in its name has the narrow types. It is passed to the hook
 * with libc's plain name (hooks/time32.h). */
#include "fork.h"
#include "in_engine.h"
#include "leave.h"
#include "real.h"
#include "user_memory.h"
#if __has_include(<sys/pidfd.h>)
#include <sys/pidfd.h>
#endif
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

struct arguments {
    long a[6];
};

/* The system call NUMBER is the hook NAME, or another FUNCTION, with the arguments that follow. */
#define CASE_OF(number, function, ...)                                                                                 \
    case SYS_##number:                                                                                                 \
        *ret = function(__VA_ARGS__);                                                                                  \
        return true;
#define CASE(name, ...) CASE_OF(name, name, __VA_ARGS__)

#define INT(i) ((int)v->a[i])
#define PTR(i) ((void *)v->a[i])

#if S5_TIME32
#define NARROW(name) hook_plain_##name
#else
#define NARROW(name) name
#endif

/* Calls the hook of the system call NUMBER. True: it has one, whose result is in *RET. */
static bool call_socket_hook(long number, const struct arguments *v, long *ret)
{
    switch (number) {
    CASE(connect, INT(0), PTR(1), (socklen_t)v->a[2])
    CASE(bind, INT(0), PTR(1), (socklen_t)v->a[2])
    CASE(listen, INT(0), INT(1))
#ifdef SYS_accept
    CASE(accept, INT(0), PTR(1), PTR(2))
#endif
    CASE(accept4, INT(0), PTR(1), PTR(2), INT(3))
    CASE(shutdown, INT(0), INT(1))
    CASE(getsockname, INT(0), PTR(1), PTR(2))
    CASE(getpeername, INT(0), PTR(1), PTR(2))
    CASE(getsockopt, INT(0), INT(1), INT(2), PTR(3), PTR(4))
    CASE(setsockopt, INT(0), INT(1), INT(2), PTR(3), (socklen_t)v->a[4])
    default:
        return false;
    }
}

static int64_t get_vector_offset(const struct arguments *v)
{
    return sizeof(long) == 8 ? (int64_t)v->a[3] : (int64_t)((uint64_t)(uint32_t)v->a[4] << 32 | (uint32_t)v->a[3]);
}

/* The same for calls that transfer octets. */
static bool call_octets_hook(long number, const struct arguments *v, long *ret)
{
    switch (number) {
#ifdef SYS_send
    CASE(send, INT(0), PTR(1), (size_t)v->a[2], INT(3))
#endif
    CASE(sendto, INT(0), PTR(1), (size_t)v->a[2], INT(3), PTR(4), (socklen_t)v->a[5])
    CASE(sendmsg, INT(0), PTR(1), INT(2))
    CASE(sendmmsg, INT(0), PTR(1), (unsigned)v->a[2], INT(3))
#ifdef SYS_recv
    CASE(recv, INT(0), PTR(1), (size_t)v->a[2], INT(3))
#endif
    CASE(recvfrom, INT(0), PTR(1), (size_t)v->a[2], INT(3), PTR(4), PTR(5))
    CASE_OF(recvmsg, NARROW(recvmsg), INT(0), PTR(1), INT(2))
    CASE_OF(recvmmsg, NARROW(recvmmsg), INT(0), PTR(1), (unsigned)v->a[2], INT(3), PTR(4))
#ifdef SYS_recvmmsg_time64
    CASE_OF(recvmmsg_time64, recvmmsg, INT(0), PTR(1), (unsigned)v->a[2], INT(3), PTR(4))
#endif
    CASE_OF(ioctl, s5_hook_ioctl, INT(0), (unsigned long)v->a[1], PTR(2))
    CASE(readv, INT(0), PTR(1), INT(2))
    CASE(writev, INT(0), PTR(1), INT(2))
    CASE(read, INT(0), PTR(1), (size_t)v->a[2])
    CASE(write, INT(0), PTR(1), (size_t)v->a[2])
    CASE(splice, INT(0), PTR(1), INT(2), PTR(3), (size_t)v->a[4], (unsigned)v->a[5])
    /* The offset is in two words; 64-bit machines need the first. */
    CASE(preadv2, INT(0), PTR(1), INT(2), (off_t)get_vector_offset(v), INT(5))
    CASE(pwritev2, INT(0), PTR(1), INT(2), (off_t)get_vector_offset(v), INT(5))
    CASE_OF(sendfile, NARROW(sendfile), INT(0), INT(1), PTR(2), (size_t)v->a[3])
#ifdef SYS_sendfile64
    CASE_OF(sendfile64, sendfile, INT(0), INT(1), PTR(2), (size_t)v->a[3])
#endif
    default:
        return false;
    }
}

/* --- calls that wait --- */

/* The kernel returns EFAULT where a time-out cannot be read, and writes back the time left where it can be written.
 * libc's functions read the time-out themselves, and some write nothing back. They are therefore given a copy. */
struct limit {
    void *at;              /* the program's time-out; NULL: none */
    bool wide;             /* two 64-bit words, not two longs */
    struct timespec begin; /* by CLOCK_MONOTONIC */
    union {
        long narrow[2];
        int64_t wide[2];
    } copy; /* seconds and nanoseconds */
};

/* Copies the time-out. False: EFAULT. */
static bool begin_limit(struct limit *l, void *at, bool wide)
{
    l->at = at;
    l->wide = wide;
    if (!at)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &l->begin);
    return s5_user_read(&l->copy, at, wide ? sizeof l->copy.wide : sizeof l->copy.narrow);
}

static void *get_limit_copy(struct limit *l)
{
    return l->at ? &l->copy : NULL;
}

/* Writes the time left back. Returns R, the result of the wait. As in the kernel, a failed write is no error, and a
 * time-out of zero is not written. */
static long end_limit(struct limit *l, long r)
{
    struct timespec now;
    if (!l->at)
        return r;
    int64_t s = l->wide ? l->copy.wide[0] : l->copy.narrow[0];
    int64_t ns = l->wide ? (long)l->copy.wide[1] : l->copy.narrow[1];
    if (s < 0 || ns < 0 || ns >= 1000000000 || (s == 0 && ns == 0))
        return r;
    clock_gettime(CLOCK_MONOTONIC, &now);
    s -= now.tv_sec - l->begin.tv_sec;
    ns -= now.tv_nsec - l->begin.tv_nsec;
    if (ns < 0 || ns >= 1000000000) {
        s += ns < 0 ? -1 : 1;
        ns += ns < 0 ? 1000000000 : -1000000000;
    }
    if (s < 0)
        s = ns = 0;
    if (l->wide) {
        int64_t left[2] = {s, ns};
        s5_user_write(l->at, left, sizeof left);
    } else {
        long left[2] = {(long)s, (long)ns};
        s5_user_write(l->at, left, sizeof left);
    }
    return r;
}

/* Whether the signal mask has the size that the kernel requires. */
static bool is_mask_valid(const void *mask, size_t size)
{
    return !mask || size == 8;
}

static long raw_ppoll(const struct arguments *v, bool wide)
{
    struct limit l;
    if (!begin_limit(&l, PTR(2), wide))
        return s5_hook_result(-EFAULT);
    if (!is_mask_valid(PTR(3), (size_t)v->a[4]))
        return s5_hook_result(-EINVAL);
    return end_limit(&l, wide ? ppoll(PTR(0), (nfds_t)v->a[1], get_limit_copy(&l), PTR(3))
                              : NARROW(ppoll)(PTR(0), (nfds_t)v->a[1], get_limit_copy(&l), PTR(3)));
}

/* The sixth argument of pselect6 points to the mask and its size. */
static long raw_pselect(const struct arguments *v, bool wide)
{
    struct limit l;
    struct {
        const sigset_t *at;
        size_t size;
    } mask = {NULL, 0};
    if ((PTR(5) && !s5_user_read(&mask, PTR(5), sizeof mask)) || !begin_limit(&l, PTR(4), wide))
        return s5_hook_result(-EFAULT);
    if (!is_mask_valid(mask.at, mask.size))
        return s5_hook_result(-EINVAL);
    return end_limit(&l, wide ? pselect(INT(0), PTR(1), PTR(2), PTR(3), get_limit_copy(&l), mask.at)
                              : NARROW(pselect)(INT(0), PTR(1), PTR(2), PTR(3), get_limit_copy(&l), mask.at));
}

#if defined SYS__newselect || defined SYS_select
/* libc's select() writes back the time left, in seconds and microseconds. */
static long raw_select(int n, void *in, void *out, void *ex, void *timeout)
{
    long copy[2];
    if (timeout && !s5_user_read(copy, timeout, sizeof copy))
        return s5_hook_result(-EFAULT);
    long r = NARROW(select)(n, in, out, ex, timeout ? (void *)copy : NULL);
    if (timeout)
        s5_user_write(timeout, copy, sizeof copy);
    return r;
}
#endif

static bool call_wait_hook(long number, const struct arguments *v, long *ret)
{
    switch (number) {
#ifdef SYS_poll
    CASE(poll, PTR(0), (nfds_t)v->a[1], INT(2))
#endif
    CASE_OF(ppoll, raw_ppoll, v, false)
#ifdef SYS_ppoll_time64
    CASE_OF(ppoll_time64, raw_ppoll, v, true)
#endif
#ifdef SYS__newselect
    CASE_OF(_newselect, raw_select, INT(0), PTR(1), PTR(2), PTR(3), PTR(4))
#elif defined SYS_select
    CASE_OF(select, raw_select, INT(0), PTR(1), PTR(2), PTR(3), PTR(4))
#endif
#if defined SYS__newselect && defined SYS_select /* the old call: its arguments are in memory */
    case SYS_select: {
        long a[5];
        *ret = s5_user_read(a, PTR(0), sizeof a)
                   ? raw_select((int)a[0], (void *)a[1], (void *)a[2], (void *)a[3], (void *)a[4])
                   : s5_hook_result(-EFAULT);
        return true;
    }
#endif
    CASE_OF(pselect6, raw_pselect, v, false)
#ifdef SYS_pselect6_time64
    CASE_OF(pselect6_time64, raw_pselect, v, true)
#endif
    CASE(epoll_ctl, INT(0), INT(1), INT(2), PTR(3))
#ifdef SYS_epoll_wait
    CASE(epoll_wait, INT(0), PTR(1), INT(2), INT(3))
#endif
    case SYS_epoll_pwait:
        *ret = is_mask_valid(PTR(4), (size_t)v->a[5]) ? epoll_pwait(INT(0), PTR(1), INT(2), INT(3), PTR(4))
                                                      : s5_hook_result(-EINVAL);
        return true;
    case SYS_epoll_pwait2:
        *ret = is_mask_valid(PTR(4), (size_t)v->a[5]) ? epoll_pwait2(INT(0), PTR(1), INT(2), PTR(3), PTR(4))
                                                      : s5_hook_result(-EINVAL);
        return true;
    default:
        return false;
    }
}

static bool call_fd_hook(long number, const struct arguments *v, long *ret)
{
    switch (number) {
    CASE(close, INT(0))
#if defined SYS_pidfd_getfd && __has_include(<sys/pidfd.h>)
    CASE(pidfd_getfd, INT(0), INT(1), (unsigned)v->a[2])
#endif
    CASE(close_range, (unsigned)v->a[0], (unsigned)v->a[1], INT(2))
    CASE(dup, INT(0))
#ifdef SYS_dup2
    CASE(dup2, INT(0), INT(1))
#endif
    CASE(dup3, INT(0), INT(1), INT(2))
    CASE_OF(fcntl, s5_hook_fcntl, INT(0), INT(1), v->a[2])
#ifdef SYS_fcntl64
    CASE_OF(fcntl64, hook_wide_fcntl, INT(0), INT(1), v->a[2])
#endif
    CASE(execve, PTR(0), PTR(1), PTR(2))
    CASE(execveat, INT(0), PTR(1), PTR(2), PTR(3), INT(4))
    case SYS_io_uring_setup: /* it would connect where no hook sees it */
        if (s5_begin()->in_namespace)
            return false;
        *ret = s5_hook_result(-ENOSYS);
        return true;
    default:
        return false;
    }
}

/* The system calls of setuid() and its relatives. They may change the IDs of one thread only. The process as a whole
 * then has no more rights than that thread. */
static bool is_id_change(long number)
{
    switch (number) {
    case SYS_setuid:
    case SYS_setreuid:
    case SYS_setresuid:
    case SYS_setgid:
    case SYS_setregid:
    case SYS_setresgid:
#ifdef SYS_setuid32
    case SYS_setuid32:
    case SYS_setreuid32:
    case SYS_setresuid32:
    case SYS_setgid32:
    case SYS_setregid32:
    case SYS_setresgid32:
#endif
        return true;
    default:
        return false;
    }
}

/* Reads six arguments, however many there are, as the kernel does. In the place of those that were not passed it reads
 * the caller's stack, possibly between variables, which AddressSanitizer would report. */
static __attribute__((no_sanitize("address"))) void read_arguments(struct arguments *v, va_list *args)
{
    for (int i = 0; i < 6; i++)
        v->a[i] = va_arg(*args, long);
}

HOOK(long, syscall, (long number, ...))
{
    struct arguments v;
    long ret;
    va_list args;
    va_start(args, number);
    read_arguments(&v, &args);
    va_end(args);
    S5_NEXT(real, "syscall", long, (long, long, long, long, long, long, long));
    if (s5_in_engine) /* a call of the engine */
        return real(number, v.a[0], v.a[1], v.a[2], v.a[3], v.a[4], v.a[5]);
    if (call_socket_hook(number, &v, &ret) || call_octets_hook(number, &v, &ret) || call_wait_hook(number, &v, &ret) ||
        call_fd_hook(number, &v, &ret))
        return ret;
    bool copies = s5_fork_copies(number, v.a), changes = is_id_change(number);
    if (copies)
        s5_fork_before();
    if (changes)
        s5_leave_before(s5_begin());
    ret = real(number, v.a[0], v.a[1], v.a[2], v.a[3], v.a[4], v.a[5]);
    if (copies)
        s5_fork_after(ret);
    if (changes)
        s5_leave_after(s5_begin(), ret == 0);
    return ret;
}
