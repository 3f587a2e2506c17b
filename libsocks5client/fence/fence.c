#include "fence.h"
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

static long set_filter(unsigned long flags, const struct sock_fprog *program)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

/* A filter switches speculation off on older kernels, unless it says that it need not (since Linux 4.17). */
static long set_fast_filter(unsigned long flags, const struct sock_fprog *program)
{
    long r = set_filter(flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, program);
    return r < 0 && errno == EINVAL ? set_filter(flags, program) : r;
}

/* Without CAP_SYS_ADMIN a filter must not outlive a gain of privileges. */
static long set_permitted_filter(unsigned long flags, const struct sock_fprog *program)
{
    long r = set_fast_filter(flags, program);
    if (r >= 0 || errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return r;
    return set_fast_filter(flags, program);
}

/* getrandom() may be missing in libc and in old kernels; both words must be unpredictable to no one. */
static int make_key(uint64_t key[2])
{
    long n = syscall(SYS_getrandom, key, 2 * sizeof *key, 0);
    return n == 2 * (long)sizeof *key ? 0 : n < 0 ? -errno : -EIO;
}

int s5_fence_install(struct s5_filter_options *how, bool all, int *ret_listener)
{
    struct sock_filter filter[S5_FILTER_MAX];
    const struct s5_machine *machines = s5_machine_own();
    int saved = errno;
    if (s5_fence() != S5_FENCE_NONE)
        return S5_FENCE_THERE;
    if (!machines)
        return -ENOSYS;
    int r = make_key(how->key);
    if (r < 0)
        return r;
    struct sock_fprog program = {(unsigned short)s5_filter_build(machines, how, filter), filter};
    long installed = set_permitted_filter(
        how->listens ? SECCOMP_FILTER_FLAG_NEW_LISTENER : all ? SECCOMP_FILTER_FLAG_TSYNC : 0, &program);
    r = installed < 0 ? -errno : 0;
    if (installed > 0 && !how->listens) /* a thread that has other filters */
        r = -EBUSY;
    if (r == 0 && how->listens)
        *ret_listener = (int)installed;
    s5_fence_changed();
    explicit_bzero(how->key, sizeof how->key);
    explicit_bzero(filter, sizeof filter);
    errno = saved;
    return r;
}

int s5_fence_install_families(bool refuse_uring)
{
    struct sock_filter filter[S5_FILTER_MAX];
    const struct s5_machine *machines = s5_machine_own();
    int saved = errno;
    if (!machines)
        return -ENOSYS;
    struct sock_fprog program = {(unsigned short)s5_filter_build_families(machines, refuse_uring, filter), filter};
    int r = set_permitted_filter(0, &program) < 0 ? -errno : 0;
    errno = saved;
    return r;
}
