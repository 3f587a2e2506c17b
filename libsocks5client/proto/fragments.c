/* A sequence is 1, 2, 3, ... in this order, the last one marked. Whatever comes out of order makes
 * it one that cannot be put together: a position skipped could only be filled by a lower FRAG, which
 * empties the queue. The highest position once more is a duplicate and changes nothing; but the
 * first may as well begin the next datagram, the rest of this one being lost, so it begins anew: for
 * a duplicate that is the same. */
#include "fragments.h"
#include "udp_header.h"
#include <string.h>

static struct s5_fragments_queue *queue_of(struct s5_fragments *f, const struct s5_addr *source, bool make)
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

static void expire(struct s5_fragments *f, uint64_t now)
{
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES; i++)
        if (f->queues[i].highest && now >= f->queues[i].deadline)
            f->queues[i].highest = 0;
}

/* False: it cannot be part of what is in Q. */
static bool append(struct s5_fragments_queue *q, uint8_t at, const void *data, size_t len)
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
    expire(f, now);
    struct s5_fragments_queue *q = queue_of(f, source, at == 1);
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
    if (!append(q, at, data, len)) {
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

unsigned s5_fragments_count(size_t len, size_t room)
{
    if (len <= room)
        return 1;
    size_t count = room ? (len - 1) / room + 1 : S5_FRAGMENTS_COUNT + 1;
    return count > S5_FRAGMENTS_COUNT ? 0 : (unsigned)count;
}

uint8_t s5_fragments_frag(unsigned at, unsigned count)
{
    if (count < 2)
        return 0;
    return (uint8_t)((at + 1) | (at + 1 == count ? S5_UDP_HEADER_LAST : 0));
}
