/* Where the bridge of a process tree is: part of the tree's memory file, written by the bridge and
 * read by whoever connects through it. */
#ifndef S5_BRIDGE_PLACE_H
#define S5_BRIDGE_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define S5_BRIDGE_WORD 32 /* octets of the user name and of the password */

enum s5_bridge_state {
    S5_BRIDGE_NONE,
    S5_BRIDGE_STARTING, /* PID starts it */
    S5_BRIDGE_UP,       /* PID is the bridge; the rest is valid */
};

struct s5_bridge_place {
    _Atomic uint32_t state; /* enum s5_bridge_state */
    _Atomic int32_t pid;
    _Atomic uint32_t generation; /* changes with every bridge that comes up */
    uint16_t port;               /* on 127.0.0.1; host byte order */
    char user[S5_BRIDGE_WORD + 1], password[S5_BRIDGE_WORD + 1];
};

/* The bridge of PID is up. */
static inline void s5_bridge_place_take(struct s5_bridge_place *p, int32_t pid, uint16_t port,
                                        const char *user, const char *password)
{
    p->port = port;
    memcpy(p->user, user, sizeof p->user);
    memcpy(p->password, password, sizeof p->password);
    atomic_fetch_add(&p->generation, 1);
    atomic_store(&p->pid, pid);
    atomic_store(&p->state, S5_BRIDGE_UP);
}

/* The bridge of PID is no more, unless another has taken its place. */
static inline void s5_bridge_place_leave(struct s5_bridge_place *p, int32_t pid)
{
    uint32_t up = S5_BRIDGE_UP;
    if (atomic_load(&p->pid) == pid)
        atomic_compare_exchange_strong(&p->state, &up, S5_BRIDGE_NONE);
}

#endif
