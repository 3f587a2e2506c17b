/* Where the bridge of a process tree is: part of the tree's memory file. */
#ifndef S5_BRIDGE_PLACE_H
#define S5_BRIDGE_PLACE_H

#include <stdatomic.h>
#include <stdint.h>

#define S5_BRIDGE_WORD 32 /* octets of the user name and of the password */

enum s5_bridge_state {
    S5_BRIDGE_NONE,
    S5_BRIDGE_STARTING, /* STARTER has started one, or waits for the one before to go */
    S5_BRIDGE_UP,       /* the rest is valid */
};

struct s5_bridge_place {
    _Atomic uint32_t state;   /* enum s5_bridge_state */
    _Atomic int32_t starter;  /* process that starts it */
    _Atomic uint32_t process; /* its number, see shm/process.h; 0: not known */
    _Atomic int32_t pid;      /* of the new bridge, as the starter knows it; 0: not started yet */
    _Atomic uint64_t until;   /* ns; then it has not come up, and whoever needs one starts another */
    _Atomic uint32_t ready;   /* the new bridge listens: PORT, USER and PASSWORD are set */
    uint16_t port;            /* on 127.0.0.1; host byte order; 0 before the first bridge */
    /* Chosen by the first bridge of a tree and kept by those after it, since processes have read
     * them. */
    char user[S5_BRIDGE_WORD + 1], password[S5_BRIDGE_WORD + 1];
};

#endif
