/* Per-message protection (RFC 1961): converts octets of a stream and whole datagrams to messages and back. No
 * descriptor and no buffer of its own. The provider calls GSSAPI. */
#ifndef S5_SEAL_H
#define S5_SEAL_H
#include "gss_frame.h"

#include <stdbool.h>

/* A GSSAPI implementation for this library, filled in by the layer that knows one. CONTEXT is the provider's own. */
struct s5_gss_provider {
    /* One step of establishing the context with the server. IN of N octets is the server's token (NULL and 0 at
     * first). The token for the server is written to OUT of SIZE octets, its length to *RET_LEN (0: none). Returns
     * 1: established, mutually; 0: another token from the server is awaited; -EACCES: refused, or no credentials
     * (the provider has recorded the reason); -ENOBUFS: the token does not fit. */
    int (*step)(void *context, const void *in, size_t n, void *out, size_t size, size_t *ret_len);
    /* gss_wrap(), encrypting if CONF is true. Returns the octets written to OUT of SIZE octets; -ENOBUFS; -EACCES:
     * the context cannot do that or has expired. OUT may overlap IN, beginning a header's length before it. */
    int (*wrap)(void *context, bool conf, const void *in, size_t n, void *out, size_t size);
    /* gss_unwrap(). Returns the octets written to OUT of SIZE octets, with S5_GSS_* flags in *RET_FLAGS; -EPROTO:
     * not a valid token; -ENOBUFS. OUT may be IN. */
    int (*unwrap)(void *context, const void *in, size_t n, void *out, size_t size, unsigned *ret_flags);
    /* gss_wrap_size_limit(): the most octets whose token is not longer than TOKEN octets; 0: none. */
    size_t (*limit)(void *context, bool conf, size_t token);
};

#define S5_GSS_CONF      1u /* the token was encrypted */
#define S5_GSS_REPLAYED  2u /* it was received before, or is too old to know */
#define S5_GSS_UNORDERED 4u /* it is not the next one */

/* Protection levels, numbered as on the wire. */
enum s5_seal_level {
    S5_SEAL_CLEAR = 0, /* an extension of Dante: nothing is wrapped after the negotiation */
    S5_SEAL_INTEGRITY = 1,
    S5_SEAL_CONFIDENTIALITY = 2,
};

struct s5_seal {
    const struct s5_gss_provider *provider;
    void *context; /* the provider's, not owned; established */
    uint8_t level; /* enum s5_seal_level, not CLEAR */
};

/* The longest message sent. Dante itself sends messages of this length, so other implementations certainly accept
 * it. */
#define S5_SEAL_MESSAGE_MAX 65400

/* The most octets one message carries; 0 if the context cannot protect any. */
size_t s5_seal_most(const struct s5_seal *seal);

/* Writes DATA of N octets (1..s5_seal_most()) as one message to OUT of SIZE octets. Returns the message's length or
 * the errors of the provider's wrap. */
int s5_seal_wrap(const struct s5_seal *seal, const void *data, size_t n, void *out, size_t size);

/* Unwraps the whole message IN of N octets, part of a stream, to OUT of SIZE octets (may be IN). Returns the number
 * of octets, possibly 0. -EPROTO: tampered with, replayed, out of order, or less protected than negotiated. The
 * connection must end then, and no octet of the message may be used. */
int s5_seal_unwrap(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size);

/* The same for a datagram, which may overtake others. On -EPROTO only this datagram must be dropped. */
int s5_seal_unwrap_datagram(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size);

#endif
