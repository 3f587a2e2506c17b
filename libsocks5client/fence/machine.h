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
    uint32_t socketcall; /* one call for all socket functions, which libc uses; 0: none */
};

/* A 64-bit machine and the 32-bit one whose programs the same kernel runs. */
#define S5_MACHINES 2
extern const struct s5_machine s5_machine_x86[S5_MACHINES], s5_machine_arm[S5_MACHINES];

/* The functions of socketcall() that the filter inspects (linux/net.h). */
enum s5_machine_socketcall {
    S5_SOCKETCALL_SOCKET = 1,
    S5_SOCKETCALL_CONNECT = 3,
    S5_SOCKETCALL_LISTEN = 4,
    S5_SOCKETCALL_SENDTO = 11,
    S5_SOCKETCALL_SETSOCKOPT = 14,
    S5_SOCKETCALL_SENDMSG = 16,
    S5_SOCKETCALL_SENDMMSG = 20
};

/* The pair of this build; NULL: the fence does not know this machine. */
const struct s5_machine *s5_machine_own(void);

#endif
