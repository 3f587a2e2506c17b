/* Blocks of one size for octets that wait. A connection that keeps nothing waiting has none. */
#ifndef BRIDGE_BLOCK_H
#define BRIDGE_BLOCK_H

#include "gss_frame.h"

/* A message of RFC 1961 at its longest, or what is left of one and of what follows. */
struct block {
    uint32_t at, len; /* octets from AT to LEN wait; LEN <= S5_GSS_MESSAGE_MAX */
    struct block *next;
    uint8_t octets[S5_GSS_MESSAGE_MAX];
};

/* NULL: no memory. Fresh ones are backed by memory only as far as they are used. */
struct block *block_take(void);
void block_give(struct block *b);

#endif
