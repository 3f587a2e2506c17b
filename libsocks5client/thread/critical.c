/* A critical section blocks signals and disables cancellation. A lock names its holder, a thread of this process, so
 * that a lock which a thread of the parent held at a fork can be taken over in the child. */
#include "critical.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Signals that libc's threads send to each other, for setuid() for example: never blocked. */
#define LIBCS_FIRST 32
#define LIBCS_LAST  33

/* The number of forks between the first process and this one. */
static _Atomic uint32_t forks;

/* ThreadSanitizer delays signals, and runs their handlers in the next libc function that it intercepts, whatever the
 * kernel's mask is by then. This call runs the handlers of signals that came before the section. */
static inline void run_delayed_handlers(void)
{
#ifdef __SANITIZE_THREAD__
    pthread_sigmask(SIG_BLOCK, NULL, NULL);
#endif
}

/* Uses system calls: each further function of libc makes the start of every program slower. Preserves errno: they do
 * not fail. Signals are blocked before the cancellation state is changed and until it is restored: a handler that
 * jumped away in between would leave it changed. */
void s5_critical_begin(struct s5_critical *ret)
{
    unsigned long most[64 / (8 * sizeof(long))];
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        most[i] = ~0ul;
    for (size_t sig = LIBCS_FIRST; sig <= LIBCS_LAST; sig++)
        most[(sig - 1) / (8 * sizeof(long))] &= ~(1ul << (sig - 1) % (8 * sizeof(long)));
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, most, ret->signals, sizeof most);
    run_delayed_handlers();
    ret->cancel = -1;
    if (!S5_SINGLE_THREADED) /* there is no other thread that could cancel this one */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel);
}

void s5_critical_end(const struct s5_critical *critical)
{
    if (critical->cancel != -1)
        pthread_setcancelstate(critical->cancel, NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, critical->signals, NULL, sizeof critical->signals);
}

uint64_t s5_thread_token(void)
{
    return (uint64_t)atomic_load_explicit(&forks, memory_order_relaxed) << 32 |
           (uint32_t)((uintptr_t)pthread_self() >> 6) | 1;
}

bool s5_thread_is_left_behind(uint64_t token)
{
    return token && token >> 32 != atomic_load_explicit(&forks, memory_order_relaxed);
}

void s5_thread_fork_child(void)
{
    atomic_fetch_add(&forks, 1);
}

bool s5_lock_take(struct s5_lock *lock, struct s5_critical *ret)
{
    enum { YIELDS = 100 };
    const struct timespec pause = {0, 100000};
    uint64_t holder = 0, own = s5_thread_token();
    int saved = errno;
    s5_critical_begin(ret);
    for (int i = 0; !atomic_compare_exchange_strong(&lock->holder, &holder, own); i++) {
        if (holder == own) {
            s5_critical_end(ret);
            errno = saved;
            return false;
        }
        if (s5_thread_is_left_behind(holder))
            continue; /* the next exchange takes the lock over from HOLDER */
        holder = 0;
        if (i < YIELDS)
            syscall(SYS_sched_yield);
        else
            nanosleep(&pause, NULL);
    }
    errno = saved;
    return true;
}

void s5_lock_give(struct s5_lock *lock, const struct s5_critical *critical)
{
    atomic_store(&lock->holder, 0);
    s5_critical_end(critical);
}
