/* The server's side of SOCKS5 as a machine over octets: what a program on this machine says to the
 * bridge, and what it is told. */
#ifndef BRIDGE_FRONT_H
#define BRIDGE_FRONT_H

#include "addr.h"
#include "isolation.h"
#include "session.h"
#include <stdbool.h>

/* Greeting, user/password and request at their longest. */
#define FRONT_IN  (2 + 255 + 3 + 255 + 255 + 262)
#define FRONT_OUT 300

enum front_state {
    FRONT_GREETING,
    FRONT_USERPASS,
    FRONT_REQUEST,
    FRONT_ASKED,  /* command and dst are known: front_reply() is awaited */
    FRONT_FAILED, /* what is in OUT is the last word */
};

/* Whom to let in; NULL user: everybody. */
struct front_users {
    const char *user; /* of a tree's bridge: what stands before the index of the server */
    const char *password;
    bool indexed; /* the user name is USER, a dot and a server's index, and maybe an identity */
};

struct front {
    uint8_t state;   /* enum front_state */
    uint8_t command; /* enum s5_command, once ASKED */
    int16_t server;  /* index the user name told; -1 */
    bool identified; /* IDENTITY was told */
    struct s5_identity identity;
    uint16_t in_at, in_len;
    uint16_t out_len;
    struct s5_addr dst;
    uint8_t in[FRONT_IN];
    uint8_t out[FRONT_OUT]; /* the owner writes it and sets out_len to 0 */
};

void front_start(struct front *f);

/* Room for more of what the client says: write there, then call front_took(). */
static inline uint8_t *front_room(struct front *f, size_t *ret_room)
{
    *ret_room = sizeof f->in - f->in_len;
    return f->in + f->in_len;
}

/* N octets came. */
void front_took(struct front *f, const struct front_users *users, size_t n);

/* The reply goes into OUT: 0 with BOUND, or the negative errno it failed with; REP, where a server
 * gave one (above 0), goes through as it is. */
void front_reply(struct front *f, int error, uint8_t rep, const struct s5_addr *bound);

/* What the client sent behind its request. */
static inline const uint8_t *front_surplus(const struct front *f, size_t *ret_len)
{
    *ret_len = f->in_len - f->in_at;
    return f->in + f->in_at;
}

#endif
