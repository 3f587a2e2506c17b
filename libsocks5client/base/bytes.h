/* The one bounds-checked reader and writer of octets. Both remember a failure,
 * so that a parser checks once, at its end. Integers are in network byte order. */
#ifndef S5_BYTES_H
#define S5_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s5_reader {
    const uint8_t *at; /* next octet; not owned */
    size_t left;       /* octets from AT to the end */
    bool failed;       /* a read went past the end; every later one fails too */
};

struct s5_writer {
    uint8_t *at; /* where the next octet goes; not owned */
    size_t left; /* room from AT to the end */
    size_t used; /* octets written */
    bool failed; /* a write did not fit; nothing was written by it or any later one */
};

struct s5_reader s5_reader_init(const void *data, size_t len);
uint8_t s5_read_u8(struct s5_reader *r);                       /* 0 on failure */
uint16_t s5_read_u16(struct s5_reader *r);                     /* 0 on failure */
void s5_read_octets(struct s5_reader *r, void *ret, size_t n); /* RET untouched on failure */

struct s5_writer s5_writer_init(void *buf, size_t size);
void s5_write_u8(struct s5_writer *w, uint8_t v);
void s5_write_u16(struct s5_writer *w, uint16_t v);
void s5_write_octets(struct s5_writer *w, const void *data, size_t n);

#endif
