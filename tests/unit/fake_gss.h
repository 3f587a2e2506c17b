/* A GSSAPI provider without a KDC. A token consists of a head of 3 octets (a sequence number, flags, a checksum)
 * and the data, which is inverted if it is "encrypted". */
#ifndef FAKE_GSS_H
#define FAKE_GSS_H

#include "gss_link.h"
#include <errno.h>
#include <string.h>

struct fake {
    int steps;        /* the client's tokens until the context is established; at least 1 */
    bool last_silent; /* the last step produces no token */
    uint8_t sent, expected;
};

static inline uint8_t fake_sum(const uint8_t *at, size_t n, uint8_t sum)
{
    while (n--)
        sum = (uint8_t)(sum * 31 + *at++);
    return sum;
}

static inline int fake_step(void *context, const void *in, size_t n, void *out, size_t size,
                            size_t *ret_len)
{
    struct fake *f = context;
    if (in && (n < 2 || memcmp(in, "ok", 2) != 0))
        return -EACCES;
    f->steps--;
    *ret_len = f->steps <= 0 && f->last_silent ? 0 : 5;
    if (*ret_len > size)
        return -ENOBUFS;
    memcpy(out, "token", *ret_len);
    return f->steps <= 0;
}

static inline int fake_wrap(void *context, bool conf, const void *in, size_t n, void *out,
                            size_t size)
{
    struct fake *f = context;
    uint8_t *to = out;
    if (n + 3 > size)
        return -ENOBUFS;
    memmove(to + 3, in, n);
    for (size_t i = 0; conf && i < n; i++)
        to[3 + i] ^= 0xff;
    to[0] = f->sent++;
    to[1] = conf;
    to[2] = fake_sum(to + 3, n, (uint8_t)(to[0] + conf));
    return (int)n + 3;
}

static inline int fake_unwrap(void *context, const void *in, size_t n, void *out, size_t size,
                              unsigned *ret_flags)
{
    struct fake *f = context;
    const uint8_t *at = in;
    uint8_t head[3];
    if (n < 3 || at[2] != fake_sum(at + 3, n - 3, (uint8_t)(at[0] + at[1])) || at[1] > 1)
        return -EPROTO;
    if (n - 3 > size)
        return -ENOBUFS;
    memcpy(head, at, 3);
    memmove(out, at + 3, n - 3);
    for (size_t i = 0; head[1] && i < n - 3; i++)
        ((uint8_t *)out)[i] ^= 0xff;
    *ret_flags = (head[1] ? S5_GSS_CONF : 0) | (head[0] != f->expected ? S5_GSS_UNORDERED : 0);
    f->expected = (uint8_t)(head[0] + 1);
    return (int)n - 3;
}

static inline size_t fake_limit(void *context, bool conf, size_t token)
{
    (void)context, (void)conf;
    return token - 3;
}

static const struct s5_gss_provider fake_provider = {fake_step, fake_wrap, fake_unwrap, fake_limit};

#endif
