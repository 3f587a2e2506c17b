/* The machine's instruction for a system call, without libc. */
#ifndef CALL_KERNEL_H
#define CALL_KERNEL_H

static inline long call_kernel(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__i386__)
    const long arguments[] = {b, c, d, e, f, a, number};
    long result;
    __asm__ volatile(
        "push %%ebx\n\tpush %%ebp\n\tmov %1, %%eax\n\tmov (%%eax), %%ecx\n\tmov 4(%%eax), %%edx\n\t"
        "mov 8(%%eax), %%esi\n\tmov 12(%%eax), %%edi\n\tmov 16(%%eax), %%ebp\n\tmov 20(%%eax), "
        "%%ebx\n\t"
        "mov 24(%%eax), %%eax\n\tint $0x80\n\tpop %%ebp\n\tpop %%ebx"
        : "=&a"(result)
        : "r"(arguments)
        : "ecx", "edx", "esi", "edi", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
#error "the instruction of a system call is not known for this machine"
#endif
}

#endif
