/* The sequence numbers of a context count the tokens of stream and datagrams together. In a stream each token must
 * be the next one. A datagram may arrive late or leave a gap, but must not arrive twice. */
#include "seal.h"
#include "gss_frame.h"
#include <errno.h>

size_t s5_seal_most(const struct s5_seal *seal)
{
    return seal->provider->limit(seal->context, seal->level == S5_SEAL_CONFIDENTIALITY,
                                 S5_SEAL_MESSAGE_MAX - S5_GSS_HEAD);
}

int s5_seal_wrap(const struct s5_seal *seal, const void *data, size_t n, void *out, size_t size)
{
    if (size < S5_GSS_HEAD)
        return -ENOBUFS;
    uint8_t *to = out;
    size_t space = size - S5_GSS_HEAD;
    int len = seal->provider->wrap(seal->context, seal->level == S5_SEAL_CONFIDENTIALITY, data, n, to + S5_GSS_HEAD,
                                   space < S5_GSS_TOKEN_MAX ? space : S5_GSS_TOKEN_MAX);
    if (len <= 0)
        return len < 0 ? len : -EACCES;
    s5_gss_frame_head(to, S5_GSS_DATA, (size_t)len);
    return S5_GSS_HEAD + len;
}

static int unwrap_message(const struct s5_seal *seal, const uint8_t *in, size_t n, void *out, size_t size,
                          unsigned fatal)
{
    int len = s5_gss_frame_len(in, n, S5_GSS_DATA);
    unsigned flags = 0;
    if (len <= 0 || (size_t)len != n) /* 0: IN is too short to contain a length, for example an empty datagram */
        return -EPROTO;
    int result = seal->provider->unwrap(seal->context, in + S5_GSS_HEAD, n - S5_GSS_HEAD, out, size, &flags);
    if (result < 0)
        return result;
    if (flags & fatal || (seal->level == S5_SEAL_CONFIDENTIALITY && !(flags & S5_GSS_CONF)))
        return -EPROTO;
    return result;
}

int s5_seal_unwrap(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size)
{
    return unwrap_message(seal, in, n, out, size, S5_GSS_REPLAYED | S5_GSS_UNORDERED);
}

int s5_seal_unwrap_datagram(const struct s5_seal *seal, const void *in, size_t n, void *out, size_t size)
{
    return unwrap_message(seal, in, n, out, size, S5_GSS_REPLAYED);
}
