/* The numbers of the system calls that the filter inspects, for each ABI that the kernel may run. */
#ifndef S5_MACHINE_H
#define S5_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct s5_machine {
    uint32_t arch; /* AUDIT_ARCH_* */
    bool wide;     /* arguments have 64 bits */
    bool x32;      /* numbers from 0x40000000 on belong to another ABI of the same AUDIT_ARCH */
    uint32_t socket, connect, listen, sendto, sendmsg, sendmmsg, setsockopt, bpf;
    uint32_t socketcall; /* one call for all socket functions; 0: none */
};

/* A 64-bit machine and the 32-bit one whose programs the same kernel runs. */
#define S5_MACHINES 2
extern const struct s5_machine s5_machine_x86[S5_MACHINES], s5_machine_arm[S5_MACHINES];

/* The pair of this build; NULL: the fence does not know this machine. */
const struct s5_machine *s5_machine_own(void);

#endif
