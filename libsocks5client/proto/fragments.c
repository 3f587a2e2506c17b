/* A sequence is 1, 2, 3, ... in this order, and its last fragment is marked. A fragment out of order ends
 * reassembly: a skipped position could only be filled by a lower FRAG, which empties the queue. The highest
 * position received a second time is a duplicate and is ignored. Position 1 is the exception: it may begin the next
 * datagram after the rest of this one was lost, so it restarts the queue. For a duplicate the result is the same. */
#include "fragments.h"
#include "udp_header.h"
#include <string.h>

static struct s5_fragments_queue *find_queue(struct s5_fragments *f, const struct s5_addr *source, bool make)
{
    struct s5_fragments_queue *oldest = &f->queues[0];
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES; i++) {
        struct s5_fragments_queue *q = &f->queues[i];
        if (q->highest && s5_addr_equal(&q->source, source))
            return q;
        if (!q->highest || (oldest->highest && q->deadline < oldest->deadline))
            oldest = q;
    }
    if (!make)
        return NULL;
    oldest->highest = 0;
    oldest->source = *source;
    return oldest;
}

static void expire_queues(struct s5_fragments *f, uint64_t now)
{
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES; i++)
        if (f->queues[i].highest && now >= f->queues[i].deadline)
            f->queues[i].highest = 0;
}

/* Returns false if the fragment cannot continue the sequence in Q. */
static bool append_fragment(struct s5_fragments_queue *q, uint8_t at, const void *data, size_t len)
{
    if (at != q->highest + 1 || len > sizeof q->data - q->len)
        return false;
    if (len)
        memcpy(q->data + q->len, data, len);
    q->len += (uint32_t)len;
    q->highest = at;
    return true;
}

int s5_fragments_feed(struct s5_fragments *f, const struct s5_addr *source, uint8_t frag, const void *data, size_t len,
                      uint64_t now, const uint8_t **ret, size_t *ret_len)
{
    uint8_t at = frag & (uint8_t)~S5_UDP_HEADER_LAST;
    expire_queues(f, now);
    struct s5_fragments_queue *q = find_queue(f, source, at == 1);
    if (!q)
        return 0;
    if (at == q->highest && at > 1)
        return 0;
    if (at <= 1) {
        q->highest = 0;
        q->len = 0;
        q->deadline = now + S5_FRAGMENTS_TIMEOUT;
    }
    if (at == 0)
        return 0;
    if (!append_fragment(q, at, data, len)) {
        q->highest = 0;
        return 0;
    }
    if (!(frag & S5_UDP_HEADER_LAST))
        return 0;
    q->highest = 0;
    *ret = q->data;
    *ret_len = q->len;
    return 1;
}

unsigned s5_fragments_count(size_t len, size_t most)
{
    if (len <= most)
        return 1;
    size_t count = most ? (len - 1) / most + 1 : S5_FRAGMENTS_COUNT + 1;
    return count > S5_FRAGMENTS_COUNT ? 0 : (unsigned)count;
}

uint8_t s5_fragments_frag(unsigned at, unsigned count)
{
    if (count < 2)
        return 0;
    return (uint8_t)((at + 1) | (at + 1 == count ? S5_UDP_HEADER_LAST : 0));
}
