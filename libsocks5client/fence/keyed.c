/* The key is asked from the filter when the first call needs it: nothing has to survive exec, closed descriptors or a
 * cleared environment. It is in registers for one instruction. Behind it they are cleared, and what a handler that
 * interrupts the call could find fits this call alone.
 *
 * libc's functions are cancellation points. These are too: while the call runs, the thread can be cancelled at once,
 * as in libc. A program without threads is not asked. */
#include "keyed.h"
#include "critical.h"
#include "filter.h"
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

_Atomic int s5_fence_state;
static unsigned long key[2]; /* the low halves on a 32-bit machine */

/* --- one system call with six arguments; the registers of the last two are zero afterwards --- */

#if defined __x86_64__ && !defined __ILP32__
static inline long call_kernel(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register unsigned long r8 __asm__("r8") = e;
    register unsigned long r9 __asm__("r9") = f;
    __asm__ volatile("syscall\n\txorl %%r8d, %%r8d\n\txorl %%r9d, %%r9d"
                     : "=a"(result), "+r"(r8), "+r"(r9)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "cc", "memory");
    return result;
}
#elif defined __aarch64__
static inline long call_kernel(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register unsigned long x4 __asm__("x4") = e;
    register unsigned long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0\n\tmov x4, xzr\n\tmov x5, xzr"
                     : "+r"(x0), "+r"(x4), "+r"(x5)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "cc", "memory");
    return x0;
}
#elif defined __arm__
static inline long call_kernel(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;
    register unsigned long r4 __asm__("r4") = e;
    register unsigned long r5 __asm__("r5") = f;
    register long r6 __asm__("r6") = number; /* r7 may be the frame pointer; the kernel preserves ip */
    __asm__ volatile("mov ip, r7\n\tmov r7, %[number]\n\tsvc #0\n\tmov r7, ip\n\tmov r4, #0\n\tmov r5, #0"
                     : "+r"(r0), "+r"(r4), "+r"(r5)
                     : [number] "r"(r6), "r"(r1), "r"(r2), "r"(r3)
                     : "ip", "cc", "memory");
    return r0;
}
#elif defined __i386__
/* The sixth argument is in the frame pointer, so this is a function with unwinding information of its own: a thread
 * may be cancelled in it. */
long s5_keyed_i386(const unsigned long *registers) __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n\t.globl s5_keyed_i386\n\t.hidden s5_keyed_i386\n\t.type s5_keyed_i386, @function\n"
        "s5_keyed_i386:\n\t.cfi_startproc\n"
        "\tpushl %ebp\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset ebp, 0\n"
        "\tpushl %edi\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset edi, 0\n"
        "\tpushl %esi\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset esi, 0\n"
        "\tpushl %ebx\n\t.cfi_adjust_cfa_offset 4\n\t.cfi_rel_offset ebx, 0\n"
        "\tmovl 20(%esp), %eax\n\tmovl 24(%eax), %ebp\n\tmovl 20(%eax), %edi\n\tmovl 16(%eax), %esi\n"
        "\tmovl 12(%eax), %edx\n\tmovl 8(%eax), %ecx\n\tmovl 4(%eax), %ebx\n\tmovl (%eax), %eax\n"
        "\tint $0x80\n"
        "\tpopl %ebx\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore ebx\n"
        "\tpopl %esi\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore esi\n"
        "\tpopl %edi\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore edi\n"
        "\tpopl %ebp\n\t.cfi_adjust_cfa_offset -4\n\t.cfi_restore ebp\n"
        "\tret\n\t.cfi_endproc\n\t.size s5_keyed_i386, . - s5_keyed_i386\n\t.popsection");

static inline long call_kernel(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    unsigned long registers[] = {(unsigned long)number, (unsigned long)a, (unsigned long)b, (unsigned long)c,
                                 (unsigned long)d,      e,                f};
    return s5_keyed_i386(registers);
}
#else /* s5_machine_own() knows no filter for this machine */
#include <unistd.h>
static inline long call_kernel(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}
#endif

/* --- the key --- */

/* Without a filter the kernel finds that there is no such descriptor. qemu reads the address first. */
static long ask_filter(int question)
{
    static const struct sockaddr none;
    return call_kernel(SYS_connect, question, (long)&none, 0, (long)S5_FILTER_MAGIC, 0, 0);
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
    return call_kernel(number, fd, b, c, d, __atomic_load_n(&key[0], __ATOMIC_RELAXED) ^ (unsigned long)(long)fd,
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
