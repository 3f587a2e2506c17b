/* Copies of the process: fork(), which is hooked because the handlers of pthread_atfork() do not learn whether it
 * failed, and _Fork() and clone(), which run no handler. A child that shares this process's memory (vfork(),
 * posix_spawn(), threads) is no copy. */
#include "fork.h"
#include "forking.h"
#include "user_memory.h"
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

HOOK(pid_t, fork, (void))
{
    S5_NEXT(real, "fork", pid_t, (void));
    s5_begin_fork_watched = true;
    pid_t pid = real();
    s5_begin_fork_watched = false;
    if (pid != 0)
        s5_engine_fork_parent(&s5_begin_engine, pid < 0);
    return pid;
}

ALIAS(__fork, fork)

/* Called before and after what copies this process. RET: its result. */
void s5_fork_before(void)
{
    s5_engine_fork_prepare(ENGINE);
}

void s5_fork_after(long ret)
{
    if (ret == 0)
        s5_begin_forked();
    else
        s5_engine_fork_parent(&s5_begin_engine, ret < 0);
}

HOOK(pid_t, _Fork, (void))
{
    S5_NEXT(real, "_Fork", pid_t, (void));
    s5_fork_before();
    pid_t pid = real();
    s5_fork_after(pid);
    return pid;
}

struct child {
    int (*run)(void *arg);
    void *arg;
};

/* Runs on a stack of its own, in memory that is a copy of the parent's. */
static int run_child(void *arg)
{
    struct child child = *(const struct child *)arg;
    s5_begin_forked();
    return child.run(child.arg);
}

HOOK(int, clone, (int (*run)(void *), void *stack, int flags, void *arg, ...))
{
    va_list args;
    va_start(args, arg);
    void *parent_tid = va_arg(args, void *), *tls = va_arg(args, void *), *child_tid = va_arg(args, void *);
    va_end(args);
    S5_NEXT(real, "clone", int, (int (*)(void *), void *, int, void *, ...));
    if (!run || !stack || (flags & CLONE_VM))
        return real(run, stack, flags, arg, parent_tid, tls, child_tid);
    struct child child = {run, arg};
    s5_fork_before();
    int pid = real(run_child, stack, flags, &child, parent_tid, tls, child_tid);
    s5_fork_after(pid);
    return pid;
}

ALIAS(__clone, clone)

/* A system call that needs a stack of its own returns elsewhere than here, and is none of these. */
bool s5_fork_copies(long number, const long *arguments)
{
    uint64_t clone3[6];
    switch (number) {
#ifdef SYS_fork
    case SYS_fork:
        return true;
#endif
#ifdef SYS_clone
    case SYS_clone: /* the flags come first everywhere but on s390 */
        return !(arguments[0] & CLONE_VM) && !arguments[1];
#endif
#ifdef SYS_clone3
    case SYS_clone3: /* struct clone_args: the flags first, the stack sixth */
        return (size_t)arguments[1] >= sizeof clone3 && s5_user_read(clone3, (void *)arguments[0], sizeof clone3) &&
               !(clone3[0] & CLONE_VM) && !clone3[5];
#endif
    default:
        return false;
    }
}
