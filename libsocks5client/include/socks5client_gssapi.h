/* libsocks5client: GSSAPI authentication and protection (RFC 1961), for programs that use the client functions
 * directly. The system's Kerberos library is loaded when the first session needs it.
 *
 *   s = socks5_session_new();
 *   socks5_session_gssapi(s, &gssapi);        offers GSSAPI as the first method
 *   socks5_session_start(s, &options);
 *   ... continue as in socks5client.h, or call socks5_session_run(s, fd, timeout_ms) ...
 *   seal = socks5_session_seal(s);            NULL: the stream is not protected
 *
 * From then on every octet of the stream travels in messages. socks5_seal_*() wrap and unwrap them and own no
 * descriptor; socks5_stream_*() are blocking calls that do both. Only calls that say so may block on a KDC or a
 * name server: socks5_session_feed() does so once, when the server has selected GSSAPI. */
#ifndef SOCKS5CLIENT_GSSAPI_H
#define SOCKS5CLIENT_GSSAPI_H

#include "socks5client.h"
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SOCKS5_METHOD_GSSAPI 1

/* As numbered by RFC 1961; 0 is an extension of Dante. */
enum socks5_protection {
    SOCKS5_CLEAR = 0, /* nothing is protected after the authentication */
    SOCKS5_INTEGRITY = 1,
    SOCKS5_CONFIDENTIALITY = 2
};

struct socks5_gssapi {
    size_t size;         /* sizeof(struct socks5_gssapi) */
    const char *host;    /* the server's name as known to Kerberos */
    const char *service; /* NULL: "rcmd" */
    int protection;      /* enum socks5_protection: the least that is accepted */
    int nec;             /* not 0: negotiate the level as NEC's servers do */
    int delegate;        /* not 0: delegate the user's credentials */
};

/* Offers GSSAPI before the methods of the options, whose PIPELINE has no effect then. To be called before
 * socks5_session_start(). Returns 0; -EINVAL: invalid arguments, or started already; -ENOSYS: the system has no
 * GSSAPI; -EACCES; -ENOMEM. */
int socks5_session_gssapi(struct socks5_session *session, const struct socks5_gssapi *gssapi);

/* The message of GSSAPI for the last failure, for users; "" if there is none. */
const char *socks5_session_why(const struct socks5_session *session);

/* Carries out the negotiation of a started session over FD, which is connected to the server, up to its end or to
 * BOUND. Returns 0; the errno it failed with; -ETIMEDOUT after TIMEOUT_MS (below 0: 30 s). Blocks. */
int socks5_session_run(struct socks5_session *session, int fd, int timeout_ms);

/* Octets of the stream that arrived with the last reply, *RET_LEN of them. Valid until the session is restarted or
 * freed. */
const void *socks5_session_surplus(const struct socks5_session *session, size_t *ret_len);

/* ---- The seal of a protected connection ---- */
struct socks5_seal;

/* The protection negotiated by a session that is DONE. The caller must free it. NULL: the stream is not protected,
 * the seal was returned already, or out of memory. */
struct socks5_seal *socks5_session_seal(struct socks5_session *session);
void socks5_seal_free(struct socks5_seal *seal);

/* The most octets that one message carries, and the most octets of a message. */
size_t socks5_seal_most(const struct socks5_seal *seal);
#define SOCKS5_MESSAGE_MAX 65539

/* Writes DATA, 1 to socks5_seal_most() octets, as one message to OUT. Returns its length. -EINVAL: too many octets;
 * -ENOBUFS: SIZE is too small; -EACCES: the context has expired. */
ssize_t socks5_seal_wrap(struct socks5_seal *seal, const void *data, size_t n, void *out, size_t size);

/* Unwraps the first message of the N octets at IN to OUT (which may be IN). Returns the number of octets it
 * carried, possibly 0, and its length in *RET_USED. -EAGAIN: it is incomplete; -ENOBUFS: SIZE is too small
 * (SOCKS5_MESSAGE_MAX always suffices); -EPROTO: tampered with, replayed or less protected than negotiated. The
 * connection must end then. */
ssize_t socks5_seal_unwrap(struct socks5_seal *seal, const void *in, size_t n, void *out, size_t size,
                           size_t *ret_used);

/* The same for a datagram, which is one message: on -EPROTO it must be dropped. Datagrams may overtake each other.
 * The datagram that socks5_seal_wrap() wraps includes its SOCKS header. */
ssize_t socks5_seal_unwrap_datagram(struct socks5_seal *seal, const void *in, size_t n, void *out, size_t size);

/* ---- A protected stream, blocking ---- */
struct socks5_stream;

/* Creates a stream over FD with the state of SESSION, which is DONE, protected or not. FD remains the caller's.
 * Returns 0, -EINVAL or -ENOMEM. */
int socks5_stream_new(struct socks5_stream **ret, int fd, struct socks5_session *session);
void socks5_stream_free(struct socks5_stream *stream);

/* Like send() and recv() on a blocking socket without flags. socks5_stream_send() sends all N octets or returns
 * -errno. socks5_stream_recv() returns the available octets, 0 at the end of the stream (-EPROTO: it ended within a
 * message), or -errno. SIGPIPE is not raised. Time limits are those of the descriptor, SO_SNDTIMEO and SO_RCVTIMEO:
 * -EAGAIN. Receiving may continue after it. After a failed send the number of octets sent is unknown, so the
 * connection must end. */
ssize_t socks5_stream_send(struct socks5_stream *stream, const void *data, size_t n);
ssize_t socks5_stream_recv(struct socks5_stream *stream, void *buf, size_t n);
/* Octets that socks5_stream_recv() can return without waiting for the descriptor. */
size_t socks5_stream_pending(const struct socks5_stream *stream);
/* Ends sending: the peer reads an end of file. Returns 0 or -errno. */
int socks5_stream_shutdown(struct socks5_stream *stream);

/* Send and receive a datagram with its SOCKS header over UDP, a datagram socket that is connected to the relay.
 * STREAM is the association's control connection. They return the octets of the datagram or -errno. Invalid
 * datagrams are skipped. */
ssize_t socks5_stream_send_datagram(struct socks5_stream *stream, int udp, const void *data, size_t n);
ssize_t socks5_stream_recv_datagram(struct socks5_stream *stream, int udp, void *buf, size_t n);

#ifdef __cplusplus
}
#endif

#endif
