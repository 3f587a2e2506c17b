/* The fence's seccomp filter. Every process of the tree has it. A system call that names a destination passes only with
 * the key of the tree, which the engine's own calls carry in registers that the call does not use:
 *
 *   argument 4: KEY[0] ^ argument 0 (the descriptor)      argument 5: KEY[1] ^ argument 1 (the pointer)
 *
 * On 32-bit machines the low halves. A key that is still in a register after the call, or when a signal handler
 * interrupts it, does not fit any other call.
 *
 * The filter tells the key to everyone in the tree who asks it, see S5_FILTER_ASK. It is a fence against accidents, not
 * against hostile code. */
#ifndef S5_FILTER_H
#define S5_FILTER_H

#include "machine.h"
#include <linux/filter.h>

/* connect(S5_FILTER_ASK - i, 0, 0, S5_FILTER_MAGIC) fails with an "errno" of 12 bits (0: it succeeds):
 * i = 0: S5_FILTER_MARK; 1 to 6 and 7 to 12: the halves of the key, lowest bits first; 13: S5_FILTER_LISTENS or 0. */
#define S5_FILTER_MAGIC   0x50c55f1eu
#define S5_FILTER_ASK     (-1000)
#define S5_FILTER_MARK    0x5c5
#define S5_FILTER_HALF    6 /* words of 12 bits of each half of the key */
#define S5_FILTER_KEY     (2 * S5_FILTER_HALF)
#define S5_FILTER_LISTENS 1  /* refused calls are reported to a companion, which also answers S5_FILTER_CALL */
/* connect(S5_FILTER_CALL, 0, 0, S5_FILTER_MAGIC): the companion returns a descriptor, see companion.h. */
#define S5_FILTER_CALL (-2000)

/* connect() to an address of this length passes where nobody can look at the socket: libc's own calls to the sockets of
 * syslog and nscd have it (sizeof(struct sockaddr_un)), and no Internet address. */
#define S5_FILTER_UNIX 110
/* The kernel takes no Internet address that is shorter. */
#define S5_FILTER_INET 16

struct s5_filter_options {
    uint64_t key[2];
    bool listens;   /* refused calls are reported (SECCOMP_RET_USER_NOTIF) instead of failing at once */
    bool listen;    /* listen() needs the key: rules lead listeners to a server, or deny them */
    bool multicast; /* sockets may join groups: rules lead multicast directly */
};

#define S5_FILTER_MAX 600 /* instructions, at most */

/* What the filter decides about socket() and setsockopt(): returns true if it refuses the call. For calls by
 * socketcall(), whose arguments are in memory, where the filter cannot see them. */
bool s5_filter_refuses_socket(int family, int type);
bool s5_filter_refuses_option(const struct s5_filter_options *options, int level, int name, uint32_t len);

/* Writes the filter for both MACHINES to RET, which has S5_FILTER_MAX instructions. Returns their number. */
unsigned s5_filter_build(const struct s5_machine machines[S5_MACHINES], const struct s5_filter_options *options,
                         struct sock_filter *ret);

/* Writes to RET a filter for processes that are alone in a network namespace. It refuses sockets of families that are
 * not of the namespace (EAFNOSUPPORT) and, with REFUSE_URING, io_uring (ENOSYS), whose sockets no filter sees. Returns
 * the number of instructions. A call by socketcall() is not inspected: its arguments are in memory. */
unsigned s5_filter_build_families(const struct s5_machine machines[S5_MACHINES], bool refuse_uring,
                                  struct sock_filter *ret);

#endif
