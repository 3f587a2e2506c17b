/* A protected stream over a blocking descriptor. PLAIN holds octets of a message that the caller has not received
 * yet. A message is read exactly, its head first, so no octets of the next message are read. */
#include "export.h"
#include "gss_frame.h"
#include "gss_link.h"
#include "public_session.h"
#include "seal.h"
#include "socks5client_gssapi.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct socks5_stream {
    int fd;                   /* owned by the caller */
    struct socks5_seal *seal; /* owned; NULL: octets are not protected */
    size_t most;              /* most octets that a message carries */
    size_t at, len;           /* octets AT to LEN of PLAIN are not received yet */
    size_t have;              /* octets in PLAIN of an incomplete message */
    uint8_t plain[S5_GSS_MESSAGE_MAX];
    uint8_t out[S5_GSS_MESSAGE_MAX];
};

S5_EXPORT int socks5_stream_new(struct socks5_stream **ret, int fd, struct socks5_session *session)
{
    if (socks5_session_state(session) != SOCKS5_STATE_DONE)
        return -EINVAL;
    bool sealed = s5_gss_link_level(&session->machine) != S5_SEAL_CLEAR;
    struct socks5_stream *stream = malloc(sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->fd = fd;
    stream->at = stream->have = 0;
    const void *rest = socks5_session_surplus(session, &stream->len);
    if (stream->len)
        memcpy(stream->plain, rest, stream->len);
    stream->seal = socks5_session_seal(session);
    if (sealed && !stream->seal) {
        free(stream);
        return -EINVAL; /* the seal was taken before */
    }
    stream->most = sealed ? socks5_seal_most(stream->seal) : 0;
    *ret = stream;
    return 0;
}

S5_EXPORT void socks5_stream_free(struct socks5_stream *stream)
{
    if (!stream)
        return;
    socks5_seal_free(stream->seal);
    explicit_bzero(stream->plain, sizeof stream->plain);
    free(stream);
}

/* --- send --- */

static int send_all(int fd, const uint8_t *data, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        data += sent;
        n -= (size_t)sent;
    }
    return 0;
}

S5_EXPORT ssize_t socks5_stream_send(struct socks5_stream *stream, const void *data, size_t n)
{
    int result = stream->seal ? 0 : send_all(stream->fd, data, n);
    for (size_t done = 0; stream->seal && result == 0 && done < n;) {
        size_t part = n - done < stream->most ? n - done : stream->most;
        ssize_t len =
            socks5_seal_wrap(stream->seal, (const uint8_t *)data + done, part, stream->out, sizeof stream->out);
        result = len < 0 ? (int)len : send_all(stream->fd, stream->out, (size_t)len);
        done += part;
    }
    return result < 0 ? result : (ssize_t)n;
}

S5_EXPORT int socks5_stream_shutdown(struct socks5_stream *stream)
{
    return shutdown(stream->fd, SHUT_WR) < 0 ? -errno : 0;
}

/* --- receive --- */

static ssize_t receive_octets(int fd, void *to, size_t n)
{
    ssize_t got;
    do
        got = recv(fd, to, n, 0);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

/* Returns how many octets of the message in PLAIN are missing: of its head, as long as that is incomplete, else of the
 * message; or -EPROTO. */
static ssize_t count_missing(const struct socks5_stream *stream)
{
    if (stream->have < S5_GSS_HEAD)
        return (ssize_t)(S5_GSS_HEAD - stream->have);
    int len = s5_gss_frame_len(stream->plain, stream->have, S5_GSS_DATA);
    return len < 0 ? -EPROTO : len - (ssize_t)stream->have;
}

/* Reads the next message into PLAIN. Returns 1; 0 at the end of the stream; or -errno. After a timeout the next call
 * continues with the same message. */
static int read_next_message(struct socks5_stream *stream)
{
    size_t used;
    ssize_t want;
    while ((want = count_missing(stream)) > 0) {
        ssize_t n = receive_octets(stream->fd, stream->plain + stream->have, (size_t)want);
        if (n <= 0)
            return n == 0 && stream->have ? -EPROTO : (int)n;
        stream->have += (size_t)n;
    }
    if (want < 0)
        return -EPROTO;
    ssize_t plain =
        socks5_seal_unwrap(stream->seal, stream->plain, stream->have, stream->plain, sizeof stream->plain, &used);
    stream->have = 0;
    if (plain < 0)
        return (int)plain;
    stream->at = 0;
    stream->len = (size_t)plain;
    return 1;
}

S5_EXPORT size_t socks5_stream_pending(const struct socks5_stream *stream)
{
    return stream->len - stream->at;
}

S5_EXPORT ssize_t socks5_stream_recv(struct socks5_stream *stream, void *buf, size_t n)
{
    if (n == 0)
        return 0;
    while (stream->at == stream->len) {
        if (!stream->seal)
            return receive_octets(stream->fd, buf, n);
        stream->at = stream->len = 0;
        int result = read_next_message(stream);
        if (result <= 0)
            return result;
    }
    size_t part = stream->len - stream->at;
    part = part < n ? part : n;
    memcpy(buf, stream->plain + stream->at, part);
    stream->at += part;
    return (ssize_t)part;
}

/* --- datagrams --- */

S5_EXPORT ssize_t socks5_stream_send_datagram(struct socks5_stream *stream, int udp, const void *data, size_t n)
{
    ssize_t len = (ssize_t)n;
    if (stream->seal) {
        len = socks5_seal_wrap(stream->seal, data, n, stream->out, sizeof stream->out);
        data = stream->out;
    }
    if (len < 0)
        return len == -ENOBUFS ? -EMSGSIZE : len;
    return send(udp, data, (size_t)len, MSG_NOSIGNAL) < 0 ? -errno : (ssize_t)n;
}

S5_EXPORT ssize_t socks5_stream_recv_datagram(struct socks5_stream *stream, int udp, void *buf, size_t n)
{
    for (;;) {
        if (!stream->seal)
            return receive_octets(udp, buf, n);
        ssize_t len = receive_octets(udp, stream->out, sizeof stream->out);
        if (len < 0)
            return len;
        len = socks5_seal_unwrap_datagram(stream->seal, stream->out, (size_t)len, stream->out, sizeof stream->out);
        if (len < 0)
            continue;
        memcpy(buf, stream->out, (size_t)len < n ? (size_t)len : n);
        return (size_t)len < n ? len : (ssize_t)n;
    }
}
