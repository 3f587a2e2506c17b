/* Reassembly of datagrams by RFC 1928 section 7: each source has a queue and a timer. A fragment with a lower FRAG
 * than the highest received empties the queue, and so does the end of the timer. The code has no clock: the caller
 * passes the time with every fragment. */
#ifndef S5_FRAGMENTS_H
#define S5_FRAGMENTS_H

#include "addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_FRAGMENTS_QUEUES  4 /* sources at a time; one more replaces the oldest */
#define S5_FRAGMENTS_MAX     65535
#define S5_FRAGMENTS_TIMEOUT 5000000000ull /* ns from the first fragment; the RFC requires at least 5 s */
#define S5_FRAGMENTS_COUNT   127           /* fragments of one datagram at most */

struct s5_fragments_queue {
    uint8_t highest;   /* position of the last fragment in the queue; 0: empty */
    uint32_t len;      /* octets reassembled */
    uint64_t deadline; /* ns */
    struct s5_addr source;
    uint8_t data[S5_FRAGMENTS_MAX];
};

/* All zeros is the initial state. */
struct s5_fragments {
    struct s5_fragments_queue queues[S5_FRAGMENTS_QUEUES];
};

/* Feeds a datagram of SOURCE with FRAG that arrived at NOW (ns). FRAG 0 is stand-alone: it empties the queue of its
 * source and is not stored. Returns 1 when a datagram is complete; *RET and *RET_LEN are then valid until the next
 * call. Returns 0 otherwise: the fragment was stored or dropped. */
int s5_fragments_feed(struct s5_fragments *f, const struct s5_addr *source, uint8_t frag, const void *data, size_t len,
                      uint64_t now, const uint8_t **ret, size_t *ret_len);

/* For sending: the number of fragments for LEN octets of data, with at most MOST octets in each. 1: no
 * fragmentation is needed; 0: there would be more than S5_FRAGMENTS_COUNT. */
unsigned s5_fragments_count(size_t len, size_t most);
/* FRAG of fragment AT (0, 1, ...) of COUNT. */
uint8_t s5_fragments_frag(unsigned at, unsigned count);

#endif
