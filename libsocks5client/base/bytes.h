/* The bounds-checked reader and writer of octets. Both remember a failure: a parser checks once, at its end.
 * Integers are in network byte order. The functions are inline because the checks cost less than calls. */
#ifndef S5_BYTES_H
#define S5_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bool in memory that other processes can write: any value but 0 is true. */
typedef uint8_t s5_flag;
#include <string.h>

struct s5_reader {
    const uint8_t *at; /* next octet; not owned */
    size_t left;       /* octets from AT to the end */
    bool failed;       /* a read went past the end; all later reads fail too */
};

struct s5_writer {
    uint8_t *at; /* where the next octet goes; not owned */
    size_t left; /* free octets from AT to the end */
    size_t used; /* octets written */
    bool failed; /* a write did not fit; it and all later writes write nothing */
};

static inline struct s5_reader s5_reader_init(const void *data, size_t len)
{
    return (struct s5_reader){.at = (const uint8_t *)data, .left = len};
}

/* Reads the next N octets. Returns their address, or NULL on failure. */
static inline const uint8_t *s5_read_skip(struct s5_reader *r, size_t n)
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

/* Returns 0 on failure. */
static inline uint8_t s5_read_u8(struct s5_reader *r)
{
    const uint8_t *at = s5_read_skip(r, 1);
    return at ? at[0] : 0;
}

/* Returns 0 on failure. */
static inline uint16_t s5_read_u16(struct s5_reader *r)
{
    const uint8_t *at = s5_read_skip(r, 2);
    return at ? (uint16_t)(at[0] << 8 | at[1]) : 0;
}

static inline struct s5_writer s5_writer_init(void *buf, size_t size)
{
    return (struct s5_writer){.at = (uint8_t *)buf, .left = size};
}

/* Reserves N octets, which count as written. Returns their address, or NULL on failure. */
static inline uint8_t *s5_write_skip(struct s5_writer *w, size_t n)
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

static inline void s5_write_u8(struct s5_writer *w, uint8_t v)
{
    uint8_t *at = s5_write_skip(w, 1);
    if (at)
        at[0] = v;
}

static inline void s5_write_u16(struct s5_writer *w, uint16_t v)
{
    uint8_t *at = s5_write_skip(w, 2);
    if (at) {
        at[0] = (uint8_t)(v >> 8);
        at[1] = (uint8_t)v;
    }
}

/* N may be 0; DATA may be NULL then. */
static inline void s5_write_octets(struct s5_writer *w, const void *data, size_t n)
{
    uint8_t *at = n ? s5_write_skip(w, n) : NULL;
    if (at)
        memcpy(at, data, n);
}

#endif
