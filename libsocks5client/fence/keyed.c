/* The key is asked from the filter when the first call needs it: nothing has to survive exec, closed descriptors or a
 * cleared environment. It is in registers for one instruction. Behind it they are cleared, and what a handler that
 * interrupts the call could find fits this call alone.
 *
 * libc's functions are cancellation points. These are too: while the call runs, the thread can be cancelled at once,
 * as in libc. A program without threads is not asked. */
#include "keyed.h"
#include "critical.h"
#include "filter.h"
#include "kernel_call.h"
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

_Atomic int s5_fence_state;
static unsigned long key[2]; /* the low halves on a 32-bit machine */

/* --- the key --- */

/* Without a filter the kernel finds that there is no such descriptor. qemu reads the address first. */
static long ask_filter(int question)
{
    static const struct sockaddr none;
    return s5_kernel_call(SYS_connect, question, (long)&none, 0, (long)S5_FILTER_MAGIC, 0, 0);
}

static __attribute__((cold, noinline)) void read_key(void)
{
    uint64_t words[2] = {0, 0};
    for (unsigned i = 0; i < S5_FILTER_KEY; i++) {
        uint64_t bits = (uint64_t)-ask_filter(S5_FILTER_ASK - 1 - (int)i) & 0xfff;
        words[i / S5_FILTER_HALF] |= bits << (12 * (i % S5_FILTER_HALF));
    }
    /* Threads that ask at the same time store the same. */
    for (int i = 0; i < 2; i++)
        __atomic_store_n(&key[i], (unsigned long)words[i], __ATOMIC_RELAXED);
}

__attribute__((cold, noinline)) enum s5_fence s5_fence_ask(void)
{
    int state = S5_FENCE_NONE;
    if (ask_filter(S5_FILTER_ASK) == -S5_FILTER_MARK) {
        read_key();
        bool watched = ask_filter(S5_FILTER_ASK - 1 - S5_FILTER_KEY) == -S5_FILTER_LISTENS;
        state = watched ? S5_FENCE_WATCHED : S5_FENCE_SILENT;
    }
    atomic_store_explicit(&s5_fence_state, state, memory_order_release);
    return (enum s5_fence)state;
}

void s5_fence_changed(void)
{
    atomic_store_explicit(&s5_fence_state, S5_FENCE_UNKNOWN, memory_order_release);
}

/* --- the calls --- */

static inline __attribute__((always_inline)) long call_keyed(long number, int fd, long b, long c, long d)
{
    s5_fence();
    return s5_kernel_call(number, fd, b, c, d, __atomic_load_n(&key[0], __ATOMIC_RELAXED) ^ (unsigned long)(long)fd,
                       __atomic_load_n(&key[1], __ATOMIC_RELAXED) ^ (unsigned long)b);
}

/* The same as a cancellation point. */
static long call_cancellable(long number, int fd, const void *b, long c, long d)
{
    int before;
    if (S5_SINGLE_THREADED)
        return call_keyed(number, fd, (long)b, c, d);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    long result = call_keyed(number, fd, (long)b, c, d);
    pthread_setcanceltype(before, NULL);
    return result;
}

static inline __attribute__((always_inline)) long convert_result(long result)
{
    if (__builtin_expect(result >= 0, 1))
        return result;
    errno = (int)-result;
    return -1;
}

int s5_keyed_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    return (int)convert_result(call_cancellable(SYS_connect, fd, addr, (long)len, 0));
}

ssize_t s5_keyed_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return convert_result(call_cancellable(SYS_sendmsg, fd, msg, flags, 0));
}

int s5_keyed_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    return (int)convert_result(call_cancellable(SYS_sendmmsg, fd, msgs, (long)n, flags));
}

int s5_keyed_listen(int fd, int backlog)
{
    return (int)convert_result(call_keyed(SYS_listen, fd, backlog, 0, 0));
}

int s5_keyed_call(void)
{
    return (int)ask_filter(S5_FILTER_CALL);
}
