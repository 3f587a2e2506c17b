/* Buffers of one size for octets that wait to be sent. A connection without waiting octets has no block. */
#ifndef TOOLS_BLOCK_H
#define TOOLS_BLOCK_H

#include "gss_frame.h"

/* Holds a message of RFC 1961 of maximum length, or the rest of a message and the octets after it. */
struct block {
    uint32_t at, len; /* octets from AT to LEN wait; LEN <= S5_GSS_MESSAGE_MAX */
    struct block *next;
    uint8_t octets[S5_GSS_MESSAGE_MAX];
};

/* block_take() returns an empty block, or NULL if there is no memory. A new block uses memory only for the pages that
 * are written. block_give() keeps or unmaps B; B may be NULL. */
struct block *block_take(void);
void block_give(struct block *b);

#endif
