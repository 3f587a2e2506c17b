/* A system call past every hook, also that of syscall(). */
#ifndef S5_KERNEL_CALL_H
#define S5_KERNEL_CALL_H

#include <errno.h>
#include <unistd.h>

/* Makes system call NUMBER with six arguments. Returns its result or -errno; errno does not change. The registers of
 * the last two arguments are zero afterwards. */
#if defined __x86_64__ && !defined __ILP32__
static inline long s5_kernel_call(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
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
static inline long s5_kernel_call(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
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
static inline long s5_kernel_call(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
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
/* A function: the sixth argument is in the frame pointer. */
long s5_kernel_call_i386(const unsigned long *registers) __attribute__((visibility("hidden")));

static inline long s5_kernel_call(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    unsigned long registers[] = {
        (unsigned long)number, (unsigned long)a, (unsigned long)b, (unsigned long)c, (unsigned long)d, e, f};
    return s5_kernel_call_i386(registers);
}
#else /* s5_machine_own() of the fence knows no filter for this machine */
static inline long s5_kernel_call(long number, long a, long b, long c, long d, unsigned long e, unsigned long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}
#endif

#endif
