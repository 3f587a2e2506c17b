/* Where the bridge of a process tree is: part of the tree's memory file. */
#ifndef S5_BRIDGE_PLACE_H
#define S5_BRIDGE_PLACE_H

#include "policy.h"
#include <assert.h>
#include <stdatomic.h>

#define S5_BRIDGE_WORD 32 /* octets of the user name and of the password */

enum s5_bridge_state {
    S5_BRIDGE_NONE,
    S5_BRIDGE_STARTING, /* STARTER is at it, alone */
    S5_BRIDGE_UP,       /* the rest is valid, and the policy leads to it */
};

struct s5_bridge_place {
    _Atomic uint32_t state;  /* enum s5_bridge_state */
    _Atomic int32_t starter; /* process that starts it */
    _Atomic uint32_t ready;  /* the new bridge listens: PORT, USER and PASSWORD are set */
    uint16_t port;           /* on 127.0.0.1; host byte order; 0 before the first bridge */
    /* Chosen by the first bridge of a tree and kept by those after it, since processes have read
     * them. */
    char user[S5_BRIDGE_WORD + 1], password[S5_BRIDGE_WORD + 1];
    _Atomic uint32_t fronted; /* bit I: server I of the policy is the bridge, ORIGINALS[I] the
                               * server that was meant */
    struct s5_server originals[S5_POLICY_SERVERS];
};

static_assert(S5_POLICY_SERVERS <= 32, "a bit a server");

#endif
