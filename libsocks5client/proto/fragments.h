/* Fragments of datagrams, put together as RFC 1928 section 7 says: a queue and a timer for each
 * source; a fragment with a lower FRAG than the highest seen, or the end of the timer, empties the
 * queue. There is no clock in here: the time comes with every fragment. */
#ifndef S5_FRAGMENTS_H
#define S5_FRAGMENTS_H

#include "addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_FRAGMENTS_QUEUES  4 /* sources at a time; one more takes the place of the oldest */
#define S5_FRAGMENTS_MAX     65535
#define S5_FRAGMENTS_TIMEOUT 5000000000ull /* ns from the first fragment; no less, says the RFC */
#define S5_FRAGMENTS_COUNT   127           /* of one datagram at the most */

struct s5_fragments_queue {
    uint8_t highest;   /* position of the last fragment in it; 0: empty */
    uint32_t len;      /* octets put together */
    uint64_t deadline; /* ns */
    struct s5_addr source;
    uint8_t data[S5_FRAGMENTS_MAX];
};

/* Zeros are its beginning. */
struct s5_fragments {
    struct s5_fragments_queue queues[S5_FRAGMENTS_QUEUES];
};

/* A datagram of SOURCE with this FRAG came at NOW (ns). FRAG 0 is stand-alone: it empties the queue
 * of its source, and there is nothing to keep of it. 1 when a whole one is put together: *RET,
 * *RET_LEN, until the next call. 0 otherwise: kept, or dropped. */
int s5_fragments_feed(struct s5_fragments *f, const struct s5_addr *source, uint8_t frag, const void *data, size_t len,
                      uint64_t now, const uint8_t **ret, size_t *ret_len);

/* For sending: how many fragments with at most ROOM octets of data LEN octets make; 1: none need be
 * made; 0: they cannot be told apart. */
unsigned s5_fragments_count(size_t len, size_t room);
/* FRAG of number AT (0, 1, ...) of COUNT. */
uint8_t s5_fragments_frag(unsigned at, unsigned count);

#endif
