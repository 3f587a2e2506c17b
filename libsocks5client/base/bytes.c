/* Every octet that is parsed or encoded passes here, so that bounds are checked in one place. A
 * failure sticks: a parser reads on as if all were well and looks at FAILED where it matters. */
#include "bytes.h"
#include <string.h>

struct s5_reader s5_reader_init(const void *data, size_t len)
{
    return (struct s5_reader){.at = data, .left = len};
}

/* The next N octets, or NULL with FAILED set. */
static const uint8_t *take(struct s5_reader *r, size_t n)
{
    const uint8_t *at = r->at;
    if (r->failed || n > r->left) {
        r->failed = true;
        return NULL;
    }
    r->at += n;
    r->left -= n;
    return at;
}

uint8_t s5_read_u8(struct s5_reader *r)
{
    const uint8_t *at = take(r, 1);
    return at ? at[0] : 0;
}

uint16_t s5_read_u16(struct s5_reader *r)
{
    const uint8_t *at = take(r, 2);
    return at ? (uint16_t)(at[0] << 8 | at[1]) : 0;
}

void s5_read_octets(struct s5_reader *r, void *ret, size_t n)
{
    if (n == 0) /* neither pointer need be valid then, which memcpy would ask for */
        return;
    const uint8_t *at = take(r, n);
    if (at)
        memcpy(ret, at, n);
}

struct s5_writer s5_writer_init(void *buf, size_t size)
{
    return (struct s5_writer){.at = buf, .left = size};
}

/* Room for N octets, counted as used, or NULL with FAILED set. */
static uint8_t *make(struct s5_writer *w, size_t n)
{
    uint8_t *at = w->at;
    if (w->failed || n > w->left) {
        w->failed = true;
        return NULL;
    }
    w->at += n;
    w->left -= n;
    w->used += n;
    return at;
}

void s5_write_u8(struct s5_writer *w, uint8_t v)
{
    uint8_t *at = make(w, 1);
    if (at)
        at[0] = v;
}

void s5_write_u16(struct s5_writer *w, uint16_t v)
{
    uint8_t *at = make(w, 2);
    if (at) {
        at[0] = (uint8_t)(v >> 8);
        at[1] = (uint8_t)v;
    }
}

void s5_write_octets(struct s5_writer *w, const void *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = make(w, n);
    if (at)
        memcpy(at, data, n);
}
