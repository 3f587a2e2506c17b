/* System call numbers. They are part of the kernel's interface, and those of other machines are in no header of this
 * one. */
#include "machine.h"
#include <linux/audit.h>
#include <stddef.h>

const struct s5_machine s5_machine_x86[S5_MACHINES] = {
    {
        .arch = AUDIT_ARCH_X86_64,
        .wide = true,
        .x32 = true,
        .socket = 41,
        .connect = 42,
        .sendto = 44,
        .sendmsg = 46,
        .listen = 50,
        .setsockopt = 54,
        .sendmmsg = 307,
        .bpf = 321,
    },
    {
        .arch = AUDIT_ARCH_I386,
        .socketcall = 102,
        .sendmmsg = 345,
        .bpf = 357,
        .socket = 359,
        .connect = 362,
        .listen = 363,
        .setsockopt = 366,
        .sendto = 369,
        .sendmsg = 370,
    },
};

const struct s5_machine s5_machine_arm[S5_MACHINES] = {
    {
        .arch = AUDIT_ARCH_AARCH64,
        .wide = true,
        .socket = 198,
        .listen = 201,
        .connect = 203,
        .sendto = 206,
        .setsockopt = 208,
        .sendmsg = 211,
        .sendmmsg = 269,
        .bpf = 280,
    },
    {
        .arch = AUDIT_ARCH_ARM,
        .socket = 281,
        .connect = 283,
        .listen = 284,
        .sendto = 290,
        .setsockopt = 294,
        .sendmsg = 296,
        .sendmmsg = 374,
        .bpf = 386,
    },
};

const struct s5_machine *s5_machine_own(void)
{
#if defined __x86_64__ && defined __ILP32__ /* x32 */
    return NULL;
#elif defined __x86_64__ || defined __i386__
    return s5_machine_x86;
#elif (defined __aarch64__ && defined __AARCH64EL__) || (defined __arm__ && defined __ARMEL__)
    return s5_machine_arm;
#else
    return NULL;
#endif
}
