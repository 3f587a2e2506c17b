/* libsocks5client: GSSAPI authentication and protection (RFC 1961), for programs that are clients
 * themselves. The machine's Kerberos library is loaded when the first session asks for it.
 *
 *   s = socks5_session_new();
 *   socks5_session_gssapi(s, &gssapi);        offers it, as the first method
 *   socks5_session_start(s, &options);
 *   ... as ever, or socks5_session_run(s, fd, timeout_ms) ...
 *   seal = socks5_session_seal(s);            NULL: the stream is not protected
 *
 * From then on every octet of the stream travels in messages: made and opened by socks5_seal_*, which
 * own no descriptor, or by the blocking calls of socks5_stream_*. Only the calls that say so may
 * block on a KDC or a name server: socks5_session_feed() does, once, when the server has selected
 * GSSAPI. */
#ifndef SOCKS5CLIENT_GSSAPI_H
#define SOCKS5CLIENT_GSSAPI_H

#include "socks5client.h"
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SOCKS5_METHOD_GSSAPI 1

enum socks5_protection {                   /* as RFC 1961 numbers them; 0 is Dante's */
                         SOCKS5_CLEAR = 0, /* nothing is protected after the authentication */
                         SOCKS5_INTEGRITY = 1,
                         SOCKS5_CONFIDENTIALITY = 2
};

struct socks5_gssapi {
    size_t size;         /* sizeof(struct socks5_gssapi) */
    const char *host;    /* the server's name, as Kerberos is to know it */
    const char *service; /* NULL: "rcmd" */
    int protection;      /* enum socks5_protection: the least that is accepted */
    int nec;             /* not 0: the level is agreed upon as NEC's servers do */
    int delegate;        /* not 0: hand the user's credentials on */
};

/* Offer GSSAPI ahead of the methods of the options, whose pipelining is then of no effect. Before
 * socks5_session_start(). 0; -EINVAL: wrong arguments, or started already; -ENOSYS: no GSSAPI on
 * this machine; -EACCES, -ENOMEM. */
int socks5_session_gssapi(struct socks5_session *session, const struct socks5_gssapi *gssapi);

/* What GSSAPI said of the last failure, for a person; "" when it said nothing. */
const char *socks5_session_why(const struct socks5_session *session);

/* Carry out the negotiation of a started session over FD, which is connected to the server: to its
 * end, or to BOUND. 0; the errno it failed with; -ETIMEDOUT after TIMEOUT_MS (below 0: 30 s). Blocks. */
int socks5_session_run(struct socks5_session *session, int fd, int timeout_ms);

/* Octets of the stream that came with the last reply, *RET_LEN of them; valid until the session is
 * started anew or freed. */
const void *socks5_session_surplus(const struct socks5_session *session, size_t *ret_len);

/* ---- The seal of a protected connection ---- */
struct socks5_seal;

/* The protection that was agreed upon in a session that is DONE: the caller's, to be freed. NULL: the
 * stream is not protected, it was taken already, or no memory. */
struct socks5_seal *socks5_session_seal(struct socks5_session *session);
void socks5_seal_free(struct socks5_seal *seal);

/* The most octets one message carries, and the most octets a message has. */
size_t socks5_seal_most(const struct socks5_seal *seal);
#define SOCKS5_MESSAGE_MAX 65539

/* DATA, 1 to socks5_seal_most() octets, as one message into OUT: its length. -EINVAL: too many;
 * -ENOBUFS: SIZE is too small; -EACCES: the context has expired. */
ssize_t socks5_seal_wrap(struct socks5_seal *seal, const void *data, size_t n, void *out, size_t size);

/* The first message among the N octets at IN, opened into OUT (which may be IN): how many octets
 * it carried, possibly none, and in *RET_USED how many it took. -EAGAIN: it is not whole yet;
 * -ENOBUFS: SIZE is too small, SOCKS5_MESSAGE_MAX never is; -EPROTO: tampered with, replayed or
 * less protected than agreed: end the connection. */
ssize_t socks5_seal_unwrap(struct socks5_seal *seal, const void *in, size_t n, void *out, size_t size,
                           size_t *ret_used);

/* The same for a datagram, which is one message: -EPROTO drops it. Datagrams may overtake each
 * other. What is wrapped, by socks5_seal_wrap(), is the datagram with its SOCKS header. */
ssize_t socks5_seal_unwrap_datagram(struct socks5_seal *seal, const void *in, size_t n, void *out, size_t size);

/* ---- A protected stream, blocking ---- */
struct socks5_stream;

/* FD, whose session is DONE, with what the session knows of it, protected or not. FD stays the
 * caller's. 0, -EINVAL, -ENOMEM. */
int socks5_stream_new(struct socks5_stream **ret, int fd, struct socks5_session *session);
void socks5_stream_free(struct socks5_stream *stream);

/* As send() and recv() on a blocking socket without flags: all N octets, or -errno; what is there, 0
 * at the end of the stream (-EPROTO: it ended within a message), or -errno. No SIGPIPE. Deadlines
 * are the descriptor's own, SO_SNDTIMEO and SO_RCVTIMEO: -EAGAIN. After it receiving may go on where
 * it was; of what was to be sent nobody knows how much was, so that the connection has to end. */
ssize_t socks5_stream_send(struct socks5_stream *stream, const void *data, size_t n);
ssize_t socks5_stream_recv(struct socks5_stream *stream, void *buf, size_t n);
/* Octets that socks5_stream_recv() can give without waiting for the descriptor. */
size_t socks5_stream_pending(const struct socks5_stream *stream);
/* No more is sent: the other side reads an end of file. 0 or -errno. */
int socks5_stream_shutdown(struct socks5_stream *stream);

/* A datagram with its SOCKS header to and from the relay that the datagram socket UDP is connected
 * to, for the association whose control connection the stream is. Octets of it, or -errno;
 * those that are not good are passed over. */
ssize_t socks5_stream_send_datagram(struct socks5_stream *stream, int udp, const void *data, size_t n);
ssize_t socks5_stream_recv_datagram(struct socks5_stream *stream, int udp, void *buf, size_t n);

#ifdef __cplusplus
}
#endif

#endif
