/* The negotiation of one SOCKS5 connection as a machine over octets (RFC 1928,
 * RFC 1929): no descriptor, no clock, no malloc, no pointer inside, so that it
 * may live in memory shared by processes and be carried on by any of them.
 *
 *   s5_session_start(&s, &setup)
 *   until s5_session_state(&s) is DONE or FAILED:
 *     write s5_session_out() and say s5_session_sent(n); and/or
 *     read at most s5_session_need() octets and s5_session_feed() them;
 *     at the end of file, s5_session_eof()
 *
 * It never asks for an octet past the reply: what follows is the application's. */
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

/* Greeting, sub-negotiation and request in one flight, at their longest:
 * (2 + methods) + (3 + 255 + 255) + (4 + 1 + 255 + 2). */
#define S5_SESSION_OUT_MAX (2 + S5_SESSION_METHODS_MAX + 513 + 262)
/* What a server may have sent that is not taken yet, at its most: the short answers in front of a
 * reply are gathered with its beginning, and a reply with a name of 255 octets is 262. */
#define S5_SESSION_IN_MAX (2 + 2 + 262)

enum s5_session_state {
    S5_SESSION_METHOD, /* waiting for the method selection */
    S5_SESSION_AUTH,   /* waiting for the method's own answer (RFC 1929 status) */
    S5_SESSION_REPLY,  /* waiting for the reply, or the first of BIND's two */
    S5_SESSION_BOUND,  /* BIND only: first reply in hand, see s5_session_next_reply */
    S5_SESSION_REPLY2, /* BIND only: waiting for the second reply */
    S5_SESSION_DONE,   /* succeeded; s5_session_bound() tells BND */
    S5_SESSION_FAILED, /* s5_session_error() tells why; nothing to write or read any more */
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
    bool pipeline;        /* send ahead of the answers whatever is already certain */
    bool gssapi;          /* S5_METHOD_GSSAPI may be offered: a link is there to carry it out */
};

struct s5_session {
    uint8_t state;   /* enum s5_session_state */
    uint8_t command; /* enum s5_command */
    uint8_t n_methods;
    uint8_t methods[S5_SESSION_METHODS_MAX];
    uint8_t method; /* selected, or foreseen when only one was offered; 0xFF: not known yet */
    uint8_t rep;    /* REP of the last reply; valid when have_rep */
    s5_flag have_rep;
    s5_flag pipeline;
    s5_flag auth_queued;    /* the sub-negotiation is in OUT or was sent */
    s5_flag request_queued; /* the request is in OUT or was sent */
    s5_flag auth_odd;       /* RFC 1929 was answered with VER 05, which is worth a line in the log */
    uint8_t failed_in;      /* enum s5_session_state: what was awaited when it FAILED */
    int32_t error;          /* negative errno when FAILED, else 0 */
    uint16_t out_len;       /* octets in OUT */
    uint16_t out_sent;      /* of which written already; both 0 once all is written */
    uint16_t request_at;    /* where the request begins in OUT; valid while it is there */
    uint16_t in_at;         /* where the message being received begins in IN */
    uint16_t in_len;        /* octets in IN; both 0 between messages */
    uint16_t in_want;       /* octets it takes at least, as far as those there tell */
    uint8_t username_len, password_len;
    struct s5_addr dst;   /* where to; its unused octets are never set */
    struct s5_addr bound; /* BND of the last successful reply */
    uint8_t out[S5_SESSION_OUT_MAX];
    uint8_t in[S5_SESSION_IN_MAX];
    char username[255], password[255]; /* wiped once queued */
};

/* 0, or -EINVAL with S unchanged: no method, an unknown one, GSSAPI without one to carry it out,
 * user/password without its words, no DST or one that is a name without octets, an unknown command. */
int s5_session_start(struct s5_session *s, const struct s5_session_setup *setup);

/* What to write next; RET_LEN 0 when nothing is. Valid until the next call on S. */
const uint8_t *s5_session_out(const struct s5_session *s, size_t *ret_len);

/* N octets of it were written. Where they may hold the password they are wiped. */
void s5_session_sent(struct s5_session *s, size_t n);

/* The most octets that may be read now and are certain to be the negotiation's own; 0 in
 * BOUND, DONE and FAILED, and while nothing of the answer awaited was asked for yet. With
 * several answers outstanding (pipelined) it spans them as far as their least length is certain;
 * an answer is outstanding once the last octet of what it answers was sent. */
size_t s5_session_need(const struct s5_session *s);

/* N octets (1..need) came, cut as they may be. 0, or the negative errno it FAILED with. More than
 * needed is -EINVAL and changes nothing, as is none. */
int s5_session_feed(struct s5_session *s, const void *data, size_t n);
/* The same without a copy: where s5_session_need octets may be put, and that N of them (1..need) are
 * there. */
static inline uint8_t *s5_session_space(struct s5_session *s)
{
    return s->in + s->in_len;
}
int s5_session_came(struct s5_session *s, size_t n);

/* The server closed its side (or reset). FAILED unless DONE or BOUND; a failing REP already in
 * hand wins (also when only its first octets came). -ECONNREFUSED where no reply came at all:
 * servers exist whose every refusal is a close. -EACCES in AUTH: RFC 1929 servers close on
 * refused credentials. -EPROTO within a successful reply; -ECONNABORTED before BIND's second.
 * 0, or the errno it FAILED with. */
int s5_session_eof(struct s5_session *s);

/* The caller gives up (deadline, reset, ...): FAILED with ERROR (negative errno), unless it
 * is DONE or FAILED already. */
void s5_session_abort(struct s5_session *s, int error);

/* The sub-negotiation that was another machine's succeeded: from AUTH on to the request. Its failure
 * is s5_session_abort()'s to tell. */
void s5_session_authenticated(struct s5_session *s);

/* BIND: from BOUND on to waiting for the second reply. */
void s5_session_next_reply(struct s5_session *s);

static inline enum s5_session_state s5_session_state(const struct s5_session *s)
{
    return (enum s5_session_state)s->state;
}
static inline int s5_session_error(const struct s5_session *s)
{
    return s->error;
}
/* BND of the last successful reply: v4, v6 or a name; S5_ADDR_NONE before one came and where it
 * held a name without octets. */
static inline const struct s5_addr *s5_session_bound(const struct s5_session *s)
{
    return &s->bound;
}

/* "method selection", "authentication", "reply", ...: what was awaited, also after FAILED. */
const char *s5_session_phase(const struct s5_session *s);

/* Overwrite everything, passwords included. Whatever S held, it asks for nothing afterwards. */
void s5_session_wipe(struct s5_session *s);

#endif
