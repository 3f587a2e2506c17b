/* The negotiation of one SOCKS5 connection as a state machine over octets (RFC 1928, RFC 1929). It has no
 * descriptor, no clock, no malloc and no pointer, so that it may be in memory shared by processes and any of them
 * can continue it.
 *
 *   s5_session_start(&s, &setup)
 *   until s5_session_state(&s) is DONE or FAILED:
 *     write s5_session_out() and call s5_session_sent(n); and/or
 *     read at most s5_session_need() octets and pass them to s5_session_feed();
 *     at the end of file, call s5_session_eof()
 *
 * It never reads an octet past the reply: what follows belongs to the application. */
#ifndef S5_SESSION_H
#define S5_SESSION_H

#include "addr.h"
#include "bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum s5_command { S5_CONNECT = 1, S5_BIND = 2, S5_UDP_ASSOCIATE = 3 };

enum s5_method { S5_METHOD_NONE = 0, S5_METHOD_GSSAPI = 1, S5_METHOD_USERPASS = 2 };

#define S5_SESSION_METHODS_MAX 4

/* Greeting, sub-negotiation and request sent together, at their longest:
 * (2 + methods) + (3 + 255 + 255) + (4 + 1 + 255 + 2). */
#define S5_SESSION_OUT_MAX (2 + S5_SESSION_METHODS_MAX + 513 + 262)
/* The most octets received and not yet read: the short answers before a reply are collected with its beginning, and
 * a reply with a name of 255 octets has 262. */
#define S5_SESSION_IN_MAX (2 + 2 + 262)

enum s5_session_state {
    S5_SESSION_METHOD, /* awaits the method selection */
    S5_SESSION_AUTH,   /* awaits the method's own answer (RFC 1929 status) */
    S5_SESSION_REPLY,  /* awaits the reply, or the first of BIND's two */
    S5_SESSION_BOUND,  /* BIND only: first reply received, see s5_session_next_reply() */
    S5_SESSION_REPLY2, /* BIND only: awaits the second reply */
    S5_SESSION_DONE,   /* succeeded; s5_session_bound() returns BND */
    S5_SESSION_FAILED, /* s5_session_error() returns the error; nothing more to write or read */
};

struct s5_session_setup {
    enum s5_command command;
    const struct s5_addr *dst;               /* copied; S5_ADDR_NONE is sent as 0.0.0.0:port */
    uint8_t methods[S5_SESSION_METHODS_MAX]; /* offered, preferred first */
    uint8_t n_methods;                       /* 1..S5_SESSION_METHODS_MAX */
    const char *username;                    /* for S5_METHOD_USERPASS; copied; not NUL-terminated */
    uint8_t username_len;                    /* 1..255 */
    const char *password;
    uint8_t password_len; /* 1..255 */
    bool pipeline;        /* send messages ahead of the answers as far as they are certain */
    bool gssapi;          /* S5_METHOD_GSSAPI may be offered: a link can carry it out */
};

struct s5_session {
    uint8_t state;   /* enum s5_session_state */
    uint8_t command; /* enum s5_command */
    uint8_t n_methods;
    uint8_t methods[S5_SESSION_METHODS_MAX];
    uint8_t method; /* selected, or the only one offered; 0xFF: not known yet */
    uint8_t rep;    /* REP of the last reply; valid if have_rep */
    s5_flag have_rep;
    s5_flag pipeline;
    s5_flag auth_queued;    /* the sub-negotiation is in OUT or was sent */
    s5_flag request_queued; /* the request is in OUT or was sent */
    s5_flag auth_odd;       /* RFC 1929 was answered with VER 05, which deserves a log line */
    uint8_t failed_in;      /* enum s5_session_state: the state before FAILED */
    int32_t error;          /* negative errno in state FAILED, else 0 */
    uint16_t out_len;       /* octets in OUT */
    uint16_t out_sent;      /* octets of them written; both 0 once all are written */
    uint16_t request_at;    /* where the request begins in OUT; valid while it is there */
    uint16_t in_at;         /* where the message being received begins in IN */
    uint16_t in_len;        /* octets in IN; both 0 between messages */
    uint16_t in_want;       /* octets it needs at least, as far as known from those received */
    uint8_t username_len, password_len;
    struct s5_addr dst;   /* destination; its unused octets are never set */
    struct s5_addr bound; /* BND of the last successful reply */
    uint8_t out[S5_SESSION_OUT_MAX];
    uint8_t in[S5_SESSION_IN_MAX];
    char username[255], password[255]; /* wiped once queued */
};

/* Starts a negotiation. Returns 0, or -EINVAL with S unchanged: no method, too many or an unknown one; GSSAPI
 * without a link to carry it out; username/password without credentials; no DST or a name without octets; an
 * unknown command. */
int s5_session_start(struct s5_session *s, const struct s5_session_setup *setup);

/* The octets to write next; *RET_LEN is 0 if there are none. Valid until the next call on S. */
const uint8_t *s5_session_out(const struct s5_session *s, size_t *ret_len);

/* Reports that N of these octets were written. Octets that may contain the password are wiped. */
void s5_session_sent(struct s5_session *s, size_t n);

/* The most octets that may be read now and certainly belong to the negotiation. 0 in BOUND, DONE and FAILED, and
 * while the awaited answer is not outstanding. An answer is outstanding once the last octet of the message it
 * answers was sent. With several answers outstanding (pipelined) the number covers them as far as their minimum
 * length is certain. */
size_t s5_session_need(const struct s5_session *s);

/* Feeds N received octets (1..need), in pieces of any size. Returns 0, or the negative errno the session FAILED
 * with. If N is 0 or more than needed, it returns -EINVAL and changes nothing. */
int s5_session_feed(struct s5_session *s, const void *data, size_t n);
/* The same without a copy: s5_session_space() is where up to s5_session_need() octets may be written.
 * s5_session_came() reports that N of them (1..need) are there. */
static inline uint8_t *s5_session_space(struct s5_session *s)
{
    return s->in + s->in_len;
}
int s5_session_came(struct s5_session *s, size_t n);

/* Reports that the server closed its side or reset the connection. The session FAILS unless it is DONE or BOUND:
 * - with the errno of a failing REP already received, even if only the first octets of the reply arrived;
 * - -EPROTO within a successful reply;
 * - -EACCES in AUTH: RFC 1929 servers close on refused credentials;
 * - -ECONNABORTED before BIND's second reply;
 * - -ECONNREFUSED if no reply arrived at all: some servers refuse every request by closing.
 * Returns 0 or the errno it FAILED with. */
int s5_session_eof(struct s5_session *s);

/* Ends the negotiation because the caller gives up (deadline, reset, ...): FAILED with ERROR (negative errno),
 * unless S is DONE or FAILED already. */
void s5_session_abort(struct s5_session *s, int error);

/* Reports that the sub-negotiation of another state machine succeeded: continues from AUTH with the request.
 * s5_session_abort() reports its failure. */
void s5_session_authenticated(struct s5_session *s);

/* BIND: continues from BOUND to await the second reply. */
void s5_session_next_reply(struct s5_session *s);

static inline enum s5_session_state s5_session_state(const struct s5_session *s)
{
    return (enum s5_session_state)s->state;
}
static inline int s5_session_error(const struct s5_session *s)
{
    return s->error;
}
/* The state before S FAILED, or the state of S. */
static inline enum s5_session_state s5_session_last_state(const struct s5_session *s)
{
    return (enum s5_session_state)(s->state == S5_SESSION_FAILED ? s->failed_in : s->state);
}
/* BND of the last successful reply: IPv4, IPv6 or a name. S5_ADDR_NONE before one arrived, and if it contained a
 * name without octets. */
static inline const struct s5_addr *s5_session_bound(const struct s5_session *s)
{
    return &s->bound;
}

/* "method selection", "authentication", "reply", ...: what is awaited, or was when S FAILED. Static storage. */
const char *s5_session_phase(const struct s5_session *s);

/* Overwrites S, passwords included. It needs no input and has no output afterwards, whatever it contained. */
void s5_session_wipe(struct s5_session *s);

#endif
