/* Per-message protection (RFC 1961): octets of a stream and whole datagrams into messages and out
 * of them. No descriptor and no buffer of its own; what GSSAPI itself does is the provider's. */
#ifndef S5_SEAL_H
#define S5_SEAL_H
#include "gss_frame.h"

#include <stdbool.h>

/* What a GSSAPI does for this library; filled in by the room that knows one. CONTEXT is its own. */
struct s5_gss_provider {
    /* One step of establishing the context with the server: IN of N octets is what it said (NULL, 0
     * at first), the token for it goes into OUT of SIZE, its length into *RET_LEN, 0 for none.
     * 1: established, mutually; 0: another token of the server's is awaited; -EACCES: refused, or
     * no credentials (the provider has said why in its log); -ENOBUFS: the token does not fit. */
    int (*step)(void *context, const void *in, size_t n, void *out, size_t size, size_t *ret_len);
    /* gss_wrap, encrypting when CONF: octets written to OUT of SIZE, -ENOBUFS, -EACCES: the context
     * cannot do that or has expired. OUT may be IN less a head. */
    int (*wrap)(void *context, bool conf, const void *in, size_t n, void *out, size_t size);
    /* gss_unwrap: octets written to OUT of SIZE, with S5_GSS_* in *RET_FLAGS; -EPROTO: not a good
     * token; -ENOBUFS. OUT may be IN. */
    int (*unwrap)(void *context, const void *in, size_t n, void *out, size_t size, unsigned *ret_flags);
    /* gss_wrap_size_limit: the most octets whose token has no more than TOKEN; 0: none. */
    size_t (*limit)(void *context, bool conf, size_t token);
};

#define S5_GSS_CONF      1u /* the token was encrypted */
#define S5_GSS_REPLAYED  2u /* it came before, or is too old to tell */
#define S5_GSS_UNORDERED 4u /* it is not the next one */

/* Protection levels as on the wire. */
enum s5_seal_level {
    S5_SEAL_CLEAR = 0, /* Dante's: nothing is wrapped after the negotiation */
    S5_SEAL_INTEGRITY = 1,
    S5_SEAL_CONFIDENTIALITY = 2,
};

struct s5_seal {
    const struct s5_gss_provider *provider;
    void *context; /* the provider's, not owned; established */
    uint8_t level; /* enum s5_seal_level, and not CLEAR */
};

/* Messages go out no longer than what Dante itself sends, which is surely taken by others. */
#define S5_SEAL_MESSAGE_MAX 65400

/* The most octets one message carries; 0 when the context cannot protect any. */
size_t s5_seal_most(const struct s5_seal *seal);

/* DATA of N octets (1..s5_seal_most) as one message into OUT of SIZE. The message's length, or as
 * the provider's wrap. */
int s5_seal_wrap(const struct s5_seal *seal, const void *data, size_t n, void *out, size_t size);

/* The whole message at IN, of N octets, of a stream: its octets into OUT of SIZE (may be IN), their
 * number returned, possibly 0. -EPROTO: tampered with, replayed, out of order, or protected less
 * than was agreed: the connection must end, nothing of it may be passed on. */
int s5_seal_unwrap(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size);

/* The same for a datagram, which may overtake others: -EPROTO drops it, and it alone. */
int s5_seal_unwrap_datagram(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size);

#endif
