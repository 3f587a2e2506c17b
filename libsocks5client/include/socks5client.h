/* libsocks5client: SOCKS protocol version 5, the client's side (RFC 1928, RFC 1929).
 *
 * Three ways to use it. socks5_session_* is the negotiation alone: octets in, octets out, no
 * descriptor, no clock, for programs with an event loop of their own. socks5_connect(),
 * socks5_listen() and socks5_associate() do all of it, blocking, with deadlines. And
 * socks5client/socks.h puts the library under a program that knows nothing of it.
 * socks5client_gssapi.h adds GSSAPI (RFC 1961).
 *
 * Functions that fail return a negative errno value and leave errno itself undefined. No function
 * here installs a signal handler, starts a thread or writes to a standard stream. */
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

/* The version of the library that is loaded, "MAJOR.MINOR.PATCH"; static storage. */
const char *socks5_version(void);

/* ---- The reply code, REP of RFC 1928 section 6 ---- */

/* 0 for 0 (succeeded); else the negative errno a connect() would fail with: 1 -ECONNABORTED or its
 * like, 3 -ENETUNREACH, 4 -EHOSTUNREACH, 5 -ECONNREFUSED and so on. -EPROTO for codes the RFC does
 * not assign. */
int socks5_reply_errno(unsigned rep);

/* A short English text for it; never NULL; static storage. */
const char *socks5_reply_text(unsigned rep);

/* ---- One negotiation ----
 *
 *   s = socks5_session_new();
 *   socks5_session_start(s, &options);
 *   while ((state = socks5_session_state(s)) != SOCKS5_STATE_DONE && state is no failure)
 *       write what socks5_session_out() shows, tell socks5_session_sent();
 *       read at most socks5_session_need() octets, give them to socks5_session_feed();
 *       at the end of file call socks5_session_eof().
 *
 * After SOCKS5_STATE_DONE the connection is the application's, from the next octet on. A session
 * may be used by one thread at a time. */
struct socks5_session;

enum socks5_command { /* CMD of RFC 1928 section 4 */
                      SOCKS5_CONNECT = 1,
                      SOCKS5_BIND = 2,
                      SOCKS5_UDP_ASSOCIATE = 3
};

enum socks5_method { /* METHOD of RFC 1928 section 3 */
                     SOCKS5_METHOD_NONE = 0,
                     SOCKS5_METHOD_USERPASS = 2 /* RFC 1929 */
};

#define SOCKS5_METHODS_MAX 4

enum socks5_state {
    SOCKS5_STATE_IDLE,   /* not started */
    SOCKS5_STATE_METHOD, /* awaits the method selection */
    SOCKS5_STATE_AUTH,   /* awaits the answer of the method's sub-negotiation */
    SOCKS5_STATE_REPLY,  /* awaits the reply */
    SOCKS5_STATE_BOUND,  /* BIND: the first reply is in hand: see socks5_session_bound() and
                          * socks5_session_next_reply() */
    SOCKS5_STATE_REPLY2, /* BIND: awaits the second reply */
    SOCKS5_STATE_DONE,   /* succeeded */
    SOCKS5_STATE_FAILED  /* see socks5_session_error() */
};

struct socks5_options {
    size_t size;                     /* sizeof(struct socks5_options): which members the caller knows */
    unsigned command;                /* one of enum socks5_command */
    const char *host;                /* destination: a domain name of 1 to 255 octets, sent as it stands for the
                          * server to resolve, or an IPv4 or IPv6 literal (brackets allowed). NULL
                          * for BIND and UDP ASSOCIATE: the unspecified address. Copied. */
    uint16_t port;                   /* of the destination, host byte order */
    const uint8_t *methods;          /* what to offer, preferred first; copied. NULL: username/password
                             * alone where USERNAME is given, none alone otherwise */
    size_t n_methods;                /* 1 to SOCKS5_METHODS_MAX; not looked at when METHODS is NULL */
    const char *username, *password; /* 1 to 255 octets each, for SOCKS5_METHOD_USERPASS; NULL
                                      * otherwise. Copied; the copies are wiped once sent. */
    int pipeline;                    /* not 0: send sub-negotiation and request ahead of the answers as far as
                          * those are certain, which saves round trips. Some servers do not take
                          * it: on failure then begin anew on a fresh connection without. */
};

/* A session in SOCKS5_STATE_IDLE, to be freed by socks5_session_free(); NULL when out of memory. */
struct socks5_session *socks5_session_new(void);

/* Wipe and free SESSION. NULL is allowed. */
void socks5_session_free(struct socks5_session *session);

/* Begin (or begin anew, whatever the state) the negotiation OPTIONS describe (RFC 1928 sections 3
 * and 4). 0; or -EINVAL, the state then unchanged: a size this version does not know, an unknown
 * command or method, an impossible host, username or password, METHODS with none in it. */
int socks5_session_start(struct socks5_session *session, const struct socks5_options *options);

/* The octets to send to the server next; *RET_LEN is their number, 0 when there are none at
 * present. They belong to SESSION and are valid until the next call on it. Never NULL. */
const void *socks5_session_out(const struct socks5_session *session, size_t *ret_len);

/* The first N octets of socks5_session_out() were sent. 0, or -EINVAL: there were not as many. */
int socks5_session_sent(struct socks5_session *session, size_t n);

/* How many octets may be read from the server now at the most so that none belongs to what follows
 * the negotiation; 0: read nothing in this state. */
size_t socks5_session_need(const struct socks5_session *session);

/* N octets, not more than socks5_session_need(), came from the server. 0; -EINVAL: more than
 * needed, nothing was taken; or the negative errno the negotiation just failed with: -EPROTO for an
 * answer that is not SOCKS5, -EACCES for refused credentials or methods, socks5_reply_errno() of
 * the reply. */
int socks5_session_feed(struct socks5_session *session, const void *data, size_t n);

/* The server closed or reset the connection. 0 where nothing more was awaited (DONE, BOUND);
 * otherwise the session fails and its negative errno is returned: that of a failing reply already
 * in hand, -ECONNREFUSED where none came. */
int socks5_session_eof(struct socks5_session *session);

/* BIND: from BOUND on to awaiting the second reply (RFC 1928 section 4). 0, or -EINVAL in any other
 * state. */
int socks5_session_next_reply(struct socks5_session *session);

/* One of enum socks5_state. */
int socks5_session_state(const struct socks5_session *session);

/* The negative errno of SOCKS5_STATE_FAILED; 0 in any other state. */
int socks5_session_error(const struct socks5_session *session);

/* BND.ADDR and BND.PORT of the last successful reply (RFC 1928 section 6): the address as text,
 * without brackets, or the name, NUL-terminated into HOST of SIZE octets (256 suffice always), the
 * port in host byte order into *RET_PORT. Returns the octets before the NUL; -ENOSPC: HOST is too
 * small; -ENODATA: no such reply came yet. Nothing is written on failure. */
int socks5_session_bound(const struct socks5_session *session, char *host, size_t size, uint16_t *ret_port);

/* What the session awaits, or awaited when it failed: "method selection", "authentication",
 * "reply", ... for messages. Static storage; never NULL. */
const char *socks5_session_phase(const struct socks5_session *session);

/* ---- All at once ---- */

/* Connect to HOST, PORT through the server of URL, socks5h://[USER[:PASSWORD]@]SERVER[:PORT], with SERVER a name, an
 * IPv4 address, an IPv6 address in brackets, or localhost/PATH for a UNIX socket; PORT 1080 by default; user and
 * password percent-encoded. HOST, a name or an IPv4 or IPv6 literal, is resolved by the server; with socks5:// names
 * are resolved here and each address is tried. No environment variable and no file is looked at.
 *
 * The server's addresses are tried in turn until one takes the connection. The negotiation goes out in one flight
 * first (two round trips in all) and, where that fails without a reply that settles the matter, step by step on a
 * fresh connection. Whether a server takes it in one flight is remembered for the life of the process. TIMEOUT_MS
 * milliseconds are the limit for all of it, except for what getaddrinfo() takes to resolve names; a value below 0
 * means 30 seconds.
 *
 * Returns a connected, blocking, close-on-exec stream socket that the caller has to close; or -EINVAL (URL, HOST or
 * PORT 0), -EHOSTUNREACH (a name that does not resolve), -ETIMEDOUT, -ENOMEM, whatever socket() and connect() to the
 * server fail with, or as socks5_session_feed() and socks5_session_eof(). Interrupting signals are ignored; SIGPIPE
 * is not raised. */
int socks5_connect(const char *url, const char *host, uint16_t port, int timeout_ms);

/* ---- To be called back: BIND (RFC 1928 section 4), one connection at a time ---- */

struct socks5_listener;

/* The first reply: the server of URL (as for socks5_connect()) listens. HOST (PORT may be 0) is who
 * is expected to come, which servers may hold the peer to; NULL: anybody. 0 and *RET, to be freed by
 * socks5_listener_free(); or a negative errno as socks5_connect(), -EOPNOTSUPP by servers that say
 * they do not know BIND, *RET then unchanged. */
int socks5_listen(const char *url, const char *host, uint16_t port, int timeout_ms, struct socks5_listener **ret);

/* The address it listens at, which somebody has to be told: as socks5_session_bound(). All zeros
 * stand for the server's own address. */
int socks5_listener_name(const struct socks5_listener *listener, char *host, size_t size, uint16_t *ret_port);

/* A descriptor that becomes readable when socks5_accept() has something to say. It is LISTENER's, to
 * be waited for alone. -EINVAL once it was accepted. */
int socks5_listener_fd(const struct socks5_listener *listener);

/* The second reply: somebody came, whose address goes to HOST (NULL: not wanted) and *RET_PORT as in
 * socks5_session_bound(). Returns the connection, a blocking, close-on-exec stream socket that is
 * the caller's from then on, whatever becomes of LISTENER, which is used up; or -ETIMEDOUT, LISTENER
 * being as before; -EINVAL: used up already; or what the BIND failed with. TIMEOUT_MS below 0 means
 * 30 seconds. */
int socks5_accept(struct socks5_listener *listener, int timeout_ms, char *host, size_t size, uint16_t *ret_port);

/* Closes what was not accepted, and frees LISTENER. NULL is allowed. */
void socks5_listener_free(struct socks5_listener *listener);

/* ---- Datagrams: UDP ASSOCIATE (RFC 1928 sections 6 and 7) ----
 *
 * Every datagram between client and relay has a header in front that tells whom it is for, or whom
 * it is from. For programs with an event loop of their own: a session with SOCKS5_UDP_ASSOCIATE,
 * whose socks5_session_bound() is where datagrams go, and the two functions for the header. The
 * association lives as long as the session's connection. */

#define SOCKS5_DATAGRAM_HEADER_MAX 262 /* octets; 10 for an IPv4 address, 22 for an IPv6 one */

/* The header of a datagram for HOST, PORT (as in struct socks5_options) into OUT of SIZE octets:
 * how many it has. -EINVAL: an impossible host; -ENOBUFS: SIZE is too small. */
int socks5_datagram_header(const char *host, uint16_t port, void *out, size_t size);

/* DATAGRAM of N octets as it came from a relay: how many of them are header; the rest is data. Whom
 * it is from goes to HOST (NULL: not wanted) of SIZE octets and *RET_PORT as in
 * socks5_session_bound(), FRAG to *RET_FRAG (NULL: not wanted): who does not put fragments together
 * has to drop what is not 0 there. -EPROTO: not a header; -ENOSPC: HOST is too small; nothing is
 * written then. */
int socks5_datagram_open(const void *datagram, size_t n, unsigned *ret_frag, char *host, size_t size,
                         uint16_t *ret_port);

struct socks5_association;

/* An association at the server of URL, and a socket of its own that talks to the relay. 0 and *RET,
 * to be freed by socks5_association_free(); or a negative errno as socks5_connect(), -EOPNOTSUPP by
 * servers that say they do not do UDP, *RET then unchanged. */
int socks5_associate(const char *url, int timeout_ms, struct socks5_association **ret);

/* A descriptor that becomes readable when socks5_association_recv() may have something to say. It
 * is ASSOCIATION's, to be waited for alone. */
int socks5_association_fd(const struct socks5_association *association);

/* One datagram of N octets to HOST, PORT, names resolved by the server. N; or -EINVAL: an
 * impossible host; -EMSGSIZE; whatever else sendmsg() fails with. Does not wait for more than room.
 */
ssize_t socks5_association_send(struct socks5_association *association, const char *host, uint16_t port,
                                const void *data, size_t n);

/* The next datagram, its first N octets into BUF, whom it is from as in socks5_datagram_open().
 * Returns how many octets it has, which may be more than N. Fragments are dropped, as section 7
 * allows. -ETIMEDOUT after TIMEOUT_MS (below 0: 30 s); -ECONNRESET: the server ended the
 * association; -ENOSPC: HOST is too small, and the datagram lost. */
ssize_t socks5_association_recv(struct socks5_association *association, int timeout_ms, void *buf, size_t n, char *host,
                                size_t size, uint16_t *ret_port);

/* Ends the association. NULL is allowed. */
void socks5_association_free(struct socks5_association *association);

#ifdef __cplusplus
}
#endif

#endif
