/* Datagrams of any content from a relay: headers are read and written again, and sequences of fragments, with times
 * between them, are put together by the queue and by a simple model. */
#include "udp_header.h"
#include "fragments.h"
#include "fuzz.h"
#include <errno.h>

static void check_header(const uint8_t *data, size_t size)
{
    struct s5_udp_header d, back;
    uint8_t buf[S5_UDP_HEADER_MAX];
    size_t peeked = s5_udp_header_peek_len(data, size);
    int r = s5_udp_header_read(data, size, &d);
    CHECK(r == 0 || r == -EPROTO);
    if (r < 0)
        return;
    CHECK(d.header_len == peeked && peeked <= size);
    if (d.from.kind == S5_ADDR_NONE)
        return;
    struct s5_writer w = s5_writer_init(buf, sizeof buf);
    s5_udp_header_write(&w, d.frag, &d.from);
    CHECK(!w.failed && w.used == s5_udp_header_len(&d.from));
    bool mapped = data[3] == 4 && d.from.kind == S5_ADDR_IPV4; /* this is the same address */
    CHECK(mapped || (w.used == d.header_len && memcmp(buf, data, w.used) == 0));
    CHECK(s5_udp_header_read(buf, w.used, &back) == 0 && back.frag == d.frag);
    CHECK(s5_addr_equal(&d.from, &back.from));
}

/* The fragments of one source, put together as RFC 1928 describes it and independently of the queue. */
struct model {
    uint8_t highest, data[256 * 8];
    size_t len;
    uint64_t deadline;
};

static bool feed_model(struct model *m, uint8_t frag, const uint8_t *data, size_t len, uint64_t now)
{
    uint8_t at = frag & 0x7f;
    if (m->highest && now >= m->deadline)
        m->highest = 0;
    if (at < m->highest || (at == 1 && m->highest == 1))
        m->highest = 0;
    if (at == 0 || (at == m->highest && at > 1))
        return false;
    if (m->highest == 0) {
        m->len = 0;
        m->deadline = now + S5_FRAGMENTS_TIMEOUT;
    }
    if (at != m->highest + 1) {
        m->highest = 0;
        return false;
    }
    memcpy(m->data + m->len, data, len);
    m->len += len;
    m->highest = at;
    if (!(frag & S5_UDP_HEADER_LAST))
        return false;
    m->highest = 0;
    return true;
}

static void check_sequence(const uint8_t *data, size_t size)
{
    static struct s5_fragments f;
    static struct model models[2];
    uint64_t now = 1;
    memset(models, 0, sizeof models);
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES; i++)
        f.queues[i].highest = 0;
    for (size_t at = 0; at + 3 <= size;) {
        uint8_t frag = data[at], what = data[at + 1];
        size_t len = data[at + 2] % 8;
        at += 3;
        if (len > size - at)
            len = size - at;
        struct s5_addr from;
        const uint8_t octets[4] = {192, 0, 2, (uint8_t)(what & 1)};
        s5_addr_from_octets(&from, octets, 4, 1);
        now += (uint64_t)(what >> 1) * 100000000;
        const uint8_t *whole = NULL;
        size_t whole_len = 0;
        bool expected = feed_model(&models[what & 1], frag, data + at, len, now);
        int r = s5_fragments_feed(&f, &from, frag, data + at, len, now, &whole, &whole_len);
        CHECK(r == expected);
        if (r)
            CHECK(whole_len == models[what & 1].len &&
                  memcmp(whole, models[what & 1].data, whole_len) == 0);
        at += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = exact_copy(data, size);
    check_header(copy, size);
    check_sequence(copy, size);
    free(copy);
    return 0;
}
