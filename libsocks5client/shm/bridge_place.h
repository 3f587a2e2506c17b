/* The place of the bridge of a process tree: part of the shared state. */
#ifndef S5_BRIDGE_PLACE_H
#define S5_BRIDGE_PLACE_H

#include <stdatomic.h>
#include <stdint.h>

#define S5_BRIDGE_WORD 32 /* octets of the user name and of the password */

enum s5_bridge_state {
    S5_BRIDGE_NONE,
    S5_BRIDGE_STARTING, /* STARTER has started a bridge, or waits for the previous bridge to end */
    S5_BRIDGE_UP,       /* the other members are valid */
};

struct s5_bridge_place {
    _Atomic uint32_t state;   /* enum s5_bridge_state */
    _Atomic int32_t starter;  /* PID of the process that starts the bridge */
    _Atomic uint32_t process; /* number of that process, see shm/process.h; 0: unknown */
    _Atomic int32_t pid;      /* PID of the new bridge as the starter sees it; 0: not started; -1: being started */
    _Atomic uint64_t until;   /* ns; a bridge that is not up by then has failed, and another process may start one */
    _Atomic uint32_t ready;   /* the new bridge listens: PORT, USER and PASSWORD are set */
    uint16_t port;            /* on 127.0.0.1, host byte order; 0 before the first bridge */
    /* The first bridge of a process tree chooses them. Later bridges keep them, because processes have already read
     * them. */
    char user[S5_BRIDGE_WORD + 1], password[S5_BRIDGE_WORD + 1];
};

#endif
