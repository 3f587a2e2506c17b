/* libsocks5client: SOCKS protocol version 5, client side (RFC 1928, RFC 1929).
 *
 * There are three ways to use it:
 * - socks5_session_*() is the negotiation alone, for programs with an event loop of their own: octets in, octets
 *   out, no descriptor, no clock.
 * - socks5_connect(), socks5_listen() and socks5_associate() do everything, blocking, with a time limit.
 * - socks5client/socks.h adds the library to a program that was not written for it.
 *
 * socks5client_gssapi.h adds GSSAPI (RFC 1961).
 *
 * Functions that fail return a negative errno value and leave errno itself undefined. No function here installs a
 * signal handler, starts a thread or writes to a standard stream. */
#ifndef SOCKS5CLIENT_H
#define SOCKS5CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SOCKS5_VERSION_MAJOR 0
#define SOCKS5_VERSION_MINOR 1
#define SOCKS5_VERSION_PATCH 0

/* The version of the loaded library, "MAJOR.MINOR.PATCH"; static storage. */
const char *socks5_version(void);

/* ---- The reply code, REP of RFC 1928 section 6 ---- */

/* Returns 0 for 0 (succeeded), else the negative errno that a connect() would fail with: 1 -ECONNABORTED, 3
 * -ENETUNREACH, 4 -EHOSTUNREACH, 5 -ECONNREFUSED and so on. Codes that the RFC does not assign return -EPROTO. */
int socks5_reply_errno(unsigned rep);

/* A short English text for REP; never NULL; static storage. */
const char *socks5_reply_text(unsigned rep);

/* ---- One negotiation ----
 *
 *   s = socks5_session_new();
 *   socks5_session_start(s, &options);
 *   while ((state = socks5_session_state(s)) != SOCKS5_STATE_DONE && state != SOCKS5_STATE_FAILED)
 *       write octets of socks5_session_out() and report their number to socks5_session_sent();
 *       read at most socks5_session_need() octets and pass them to socks5_session_feed();
 *       at the end of file call socks5_session_eof().
 *
 * After SOCKS5_STATE_DONE the connection is the application's, from the next octet on. A session may be used by
 * only one thread at a time. */
struct socks5_session;

/* CMD of RFC 1928 section 4. */
enum socks5_command { SOCKS5_CONNECT = 1, SOCKS5_BIND = 2, SOCKS5_UDP_ASSOCIATE = 3 };

/* METHOD of RFC 1928 section 3. */
enum socks5_method {
    SOCKS5_METHOD_NONE = 0,
    SOCKS5_METHOD_USERPASS = 2 /* RFC 1929 */
};

#define SOCKS5_METHODS_MAX 4

enum socks5_state {
    SOCKS5_STATE_IDLE,   /* not started */
    SOCKS5_STATE_METHOD, /* awaits the method selection */
    SOCKS5_STATE_AUTH,   /* awaits the answer of the method's sub-negotiation */
    SOCKS5_STATE_REPLY,  /* awaits the reply */
    SOCKS5_STATE_BOUND,  /* BIND: first reply received; see socks5_session_bound(), socks5_session_next_reply() */
    SOCKS5_STATE_REPLY2, /* BIND: awaits the second reply */
    SOCKS5_STATE_DONE,   /* succeeded */
    SOCKS5_STATE_FAILED  /* see socks5_session_error() */
};

struct socks5_options {
    /* sizeof(struct socks5_options): the members that the caller knows. */
    size_t size;
    /* One of enum socks5_command. */
    unsigned command;
    /* Destination: a domain name of 1 to 255 octets, sent unchanged for the server to resolve, or an IPv4 or IPv6
     * literal (brackets allowed). NULL for BIND and UDP ASSOCIATE means the unspecified address. Copied. */
    const char *host;
    /* Port of the destination, host byte order. */
    uint16_t port;
    /* Methods to offer, preferred first; copied. NULL: only username/password if USERNAME is set, else only "no
     * authentication". */
    const uint8_t *methods;
    /* 1 to SOCKS5_METHODS_MAX; ignored if METHODS is NULL. */
    size_t n_methods;
    /* 1 to 255 octets each, for SOCKS5_METHOD_USERPASS, else NULL. Copied; the copies are wiped once sent. */
    const char *username, *password;
    /* Not 0: send sub-negotiation and request ahead of the answers as far as these are certain, which saves round
     * trips. Some servers do not support it: on failure, try again without it on a new connection. */
    int pipeline;
};

/* Creates a session in SOCKS5_STATE_IDLE, to be freed by socks5_session_free(). NULL: out of memory. */
struct socks5_session *socks5_session_new(void);

/* Wipes and frees SESSION. NULL is allowed. */
void socks5_session_free(struct socks5_session *session);

/* Starts or, in any state, restarts the negotiation that OPTIONS describe (RFC 1928 sections 3 and 4). Returns 0,
 * or -EINVAL with the state unchanged: a size this version does not know, an unknown command or method, an invalid
 * host, username or password, no method in METHODS. */
int socks5_session_start(struct socks5_session *session, const struct socks5_options *options);

/* The octets to send to the server next. *RET_LEN is their number, 0 if there are none at present. They belong to
 * SESSION and are valid until the next call on it. Never NULL. */
const void *socks5_session_out(const struct socks5_session *session, size_t *ret_len);

/* Reports that the first N octets of socks5_session_out() were sent. Returns 0, or -EINVAL: there were fewer. */
int socks5_session_sent(struct socks5_session *session, size_t n);

/* The most octets that may be read from the server now so that none belongs to what follows the negotiation. 0:
 * read nothing in this state. */
size_t socks5_session_need(const struct socks5_session *session);

/* Feeds N octets received from the server, at most socks5_session_need(). Returns 0; -EINVAL: more than needed,
 * nothing was read; or the negative errno that the negotiation just failed with: -EPROTO for an answer that is not
 * SOCKS5, -EACCES for refused credentials or methods, socks5_reply_errno() of the reply. */
int socks5_session_feed(struct socks5_session *session, const void *data, size_t n);

/* Reports that the server closed or reset the connection. Returns 0 if nothing more was awaited (DONE, BOUND).
 * Otherwise the session fails and its negative errno is returned: that of a failing reply already received,
 * -ECONNREFUSED if none arrived. */
int socks5_session_eof(struct socks5_session *session);

/* BIND: continues from BOUND to await the second reply (RFC 1928 section 4). Returns 0, or -EINVAL in any other
 * state. */
int socks5_session_next_reply(struct socks5_session *session);

/* One of enum socks5_state. */
int socks5_session_state(const struct socks5_session *session);

/* The negative errno of SOCKS5_STATE_FAILED; 0 in any other state. */
int socks5_session_error(const struct socks5_session *session);

/* BND.ADDR and BND.PORT of the last successful reply (RFC 1928 section 6). The address as text without brackets, or
 * the name, is written to HOST of SIZE octets, NUL-terminated (256 octets always suffice), the port in host byte
 * order to *RET_PORT. Returns the number of octets before the NUL; -ENOSPC: HOST is too small; -ENODATA: no such
 * reply arrived yet. Nothing is written on failure. */
int socks5_session_bound(const struct socks5_session *session, char *host, size_t size, uint16_t *ret_port);

/* What the session awaits, or awaited when it failed: "method selection", "authentication", "reply", ... for
 * messages. Static storage; never NULL. */
const char *socks5_session_phase(const struct socks5_session *session);

/* ---- Connections ---- */

/* Connects to HOST and PORT through the server of URL:
 *
 *   socks5h://[USER[:PASSWORD]@]SERVER[:PORT]
 *
 * SERVER is a name, an IPv4 address, an IPv6 address in brackets, or localhost/PATH for a UNIX socket. The server's
 * port is 1080 by default. User and password are percent-encoded. HOST is a name or an IPv4 or IPv6 literal. The
 * server resolves a name; with socks5:// names are resolved locally and each address is tried. No environment
 * variable and no file is read.
 *
 * The server's addresses are tried in turn until one accepts the connection. The negotiation is first sent
 * pipelined (two round trips in all). If that fails without a reply that decides the result, it is repeated step by
 * step on a new connection. Whether a server supports pipelining is remembered for the life of the process.
 * TIMEOUT_MS milliseconds limit all of this except the time that getaddrinfo() takes to resolve names; a value
 * below 0 means 30 seconds.
 *
 * Returns a connected, blocking, close-on-exec stream socket that the caller must close; or -EINVAL (URL, HOST or
 * PORT 0), -EHOSTUNREACH (a name that cannot be resolved), -ETIMEDOUT, -ENOMEM, the errors of socket() and
 * connect() to the server, or those of socks5_session_feed() and socks5_session_eof(). Interrupting signals are
 * ignored; SIGPIPE is not raised. */
int socks5_connect(const char *url, const char *host, uint16_t port, int timeout_ms);

/* ---- Incoming connections: BIND (RFC 1928 section 4), one connection at a time ---- */

struct socks5_listener;

/* Requests a BIND and waits for the first reply: the server of URL (as for socks5_connect()) listens. HOST is the
 * peer that is expected to connect (PORT may be 0); servers may reject other peers. NULL: any peer. Returns 0 and
 * *RET, to be freed by socks5_listener_free(); or, with *RET unchanged, a negative errno like socks5_connect(),
 * -EOPNOTSUPP from servers that report that they do not support BIND. */
int socks5_listen(const char *url, const char *host, uint16_t port, int timeout_ms, struct socks5_listener **ret);

/* The address at which the server listens, to be announced to the peer. Parameters and result are as for
 * socks5_session_bound(). All zeros mean the server's own address. */
int socks5_listener_name(const struct socks5_listener *listener, char *host, size_t size, uint16_t *ret_port);

/* A descriptor that becomes readable when socks5_accept() has a result. It belongs to LISTENER and may only be
 * polled. -EINVAL once the connection was accepted. */
int socks5_listener_fd(const struct socks5_listener *listener);

/* Waits for the second reply: a peer connected. The peer's address is written to HOST (NULL: not needed) and
 * *RET_PORT as by socks5_session_bound(). Returns the connection, a blocking, close-on-exec stream socket that the
 * caller must close. It is independent of LISTENER, which cannot be used again. -ETIMEDOUT: LISTENER is unchanged;
 * -EINVAL: the connection was accepted already; or the error of the BIND. TIMEOUT_MS below 0 means 30 seconds. */
int socks5_accept(struct socks5_listener *listener, int timeout_ms, char *host, size_t size, uint16_t *ret_port);

/* Closes what was not accepted, and frees LISTENER. NULL is allowed. */
void socks5_listener_free(struct socks5_listener *listener);

/* ---- Datagrams: UDP ASSOCIATE (RFC 1928 sections 6 and 7) ----
 *
 * Every datagram between client and relay begins with a header, which contains the destination or the sender. A
 * program with an event loop of its own uses a session with SOCKS5_UDP_ASSOCIATE, sends datagrams to its
 * socks5_session_bound(), and uses the two functions for the header. The association lasts as long as the session's
 * connection. */

#define SOCKS5_DATAGRAM_HEADER_MAX 262 /* octets; 10 for an IPv4 address, 22 for an IPv6 one */

/* Writes the header of a datagram for HOST and PORT (as in struct socks5_options) to OUT of SIZE octets. Returns
 * its length. -EINVAL: an invalid host; -ENOBUFS: SIZE is too small. */
int socks5_datagram_header(const char *host, uint16_t port, void *out, size_t size);

/* Reads the header of DATAGRAM of N octets, received from a relay. Returns the length of the header; the rest is
 * data. The sender is written to HOST (NULL: not needed) of SIZE octets and *RET_PORT as by socks5_session_bound(),
 * FRAG to *RET_FRAG (NULL: not needed). A program that does not reassemble fragments must drop datagrams whose FRAG
 * is not 0. -EPROTO: not a header; -ENOSPC: HOST is too small. Nothing is written on failure. */
int socks5_datagram_open(const void *datagram, size_t n, unsigned *ret_frag, char *host, size_t size,
                         uint16_t *ret_port);

struct socks5_association;

/* Creates an association at the server of URL, with a socket of its own for the relay. Returns 0 and *RET, to be
 * freed by socks5_association_free(); or, with *RET unchanged, a negative errno like socks5_connect(), -EOPNOTSUPP
 * from servers that report that they do not support UDP, and -EACCES if the server names a relay to which nothing may
 * be sent: a multicast or broadcast address, or a loopback or link-local address where the server's is none. */
int socks5_associate(const char *url, int timeout_ms, struct socks5_association **ret);

/* A descriptor that becomes readable when socks5_association_recv() may have a result. It belongs to ASSOCIATION
 * and may only be polled. */
int socks5_association_fd(const struct socks5_association *association);

/* Sends one datagram of N octets to HOST and PORT. The server resolves names. Returns N; -EINVAL: an invalid host;
 * -EMSGSIZE; or any other error of sendmsg(). It waits only for space in the send buffer. */
ssize_t socks5_association_send(struct socks5_association *association, const char *host, uint16_t port,
                                const void *data, size_t n);

/* Receives the next datagram. Its first N octets are written to BUF, its sender as by socks5_datagram_open().
 * Returns the length of the datagram, which may exceed N. Fragments are dropped, as section 7 allows. -ETIMEDOUT
 * after TIMEOUT_MS (below 0: 30 s); -ECONNRESET: the server ended the association; -ENOSPC: HOST is too small, and
 * the datagram is lost. */
ssize_t socks5_association_recv(struct socks5_association *association, int timeout_ms, void *buf, size_t n, char *host,
                                size_t size, uint16_t *ret_port);

/* Ends the association. NULL is allowed. */
void socks5_association_free(struct socks5_association *association);

#ifdef __cplusplus
}
#endif

#endif
