/* The server side of SOCKS5 as a state machine over octets: what a program on this machine sends to the bridge, and
 * what it receives. */
#ifndef BRIDGE_FRONT_H
#define BRIDGE_FRONT_H

#include "addr.h"
#include "isolation.h"
#include "session.h"
#include <stdbool.h>

/* Maximum length of greeting, user/password and request together. */
#define FRONT_IN  (2 + 255 + 3 + 255 + 255 + 262)
#define FRONT_OUT 300

enum front_state {
    FRONT_GREETING,
    FRONT_USERPASS,
    FRONT_REQUEST,
    FRONT_ASKED,  /* command and dst are known; the owner calls front_reply() */
    FRONT_FAILED, /* OUT holds the last octets for the client */
};

/* The clients that are accepted. NULL user: all clients. */
struct front_users {
    const char *user; /* if INDEXED: the part of the user name before the index of the server */
    const char *password;
    bool indexed; /* the user name is USER, a dot, the index of a server and, optionally, an identity */
};

struct front {
    uint8_t state;   /* enum front_state */
    uint8_t command; /* enum s5_command; set in FRONT_ASKED */
    int16_t server;  /* index of the server from the user name; -1: none */
    bool identified; /* the user name has IDENTITY */
    bool marks;      /* the client is an engine, which understands MARK */
    uint8_t mark;    /* enum s5_reply_mark, for a failure; set by the owner */
    struct s5_identity identity;
    uint16_t in_at, in_len;
    uint16_t out_len;
    struct s5_addr dst;
    uint8_t in[FRONT_IN];
    uint8_t out[FRONT_OUT]; /* the owner sends it and sets out_len to 0 */
};

void front_start(struct front *f);

/* Returns the buffer for the next octets of the client, and its size in RET_ROOM. The caller calls front_took()
 * afterwards. */
static inline uint8_t *front_input(struct front *f, size_t *ret_capacity)
{
    *ret_capacity = sizeof f->in - f->in_len;
    return f->in + f->in_len;
}

/* Processes the N octets that were stored at front_input(). Accepts the clients of USERS. */
void front_took(struct front *f, const struct front_users *users, size_t n);

/* Appends the reply to OUT: success with BOUND (may be NULL) if ERROR is 0, else failure with ERROR, a negative errno.
 * A REP of the server (above 0) is forwarded. A client that understands marks gets the mark, and no REP that RFC 1928
 * does not assign. */
void front_reply(struct front *f, int error, uint8_t rep, const struct s5_addr *bound);

/* Returns the octets that the client sent after its request, and their number in RET_LEN. */
static inline const uint8_t *front_surplus(const struct front *f, size_t *ret_len)
{
    *ret_len = f->in_len - f->in_at;
    return f->in + f->in_at;
}

#endif
