/* One connection of a program on this machine, from its greeting to its end. */
#ifndef BRIDGE_CONN_H
#define BRIDGE_CONN_H

#include "block.h"
#include "front.h"
#include "gss.h"
#include "gss_link.h"
#include "loop.h"
#include "policy.h"
#include <stddef.h>

enum conn_state {
    CONN_FRONT,     /* the client says what it wants */
    CONN_TICKET,    /* waiting for a ticket */
    CONN_DIALING,   /* connect() to the server under way */
    CONN_WAITING,   /* until the queue of the server's UNIX socket has room */
    CONN_TALKING,   /* negotiating with the server */
    CONN_RELAY,     /* octets pass both ways */
    CONN_DATAGRAMS, /* an association lasts */
    CONN_CLOSING,   /* the client is gone; what it wrote is on its way */
};

/* What is needed until the stream is the client's; let go then. */
struct conn_talk {
    struct front front;
    struct s5_gss_link link;
    struct s5_gss_room *room; /* mapped; NULL without GSSAPI */
    unsigned address;         /* of the server's, being dialled */
    bool without_gssapi;      /* no ticket, and other methods are left */
};

struct conn {
    struct watch client, server; /* streams */
    struct watch inner, outer;   /* datagrams: towards the client, towards the relay */
    struct conn *next, *prev;
    struct conn_talk *talk;
    uint8_t state;              /* enum conn_state */
    bool sealed;                /* SEAL protects stream and datagrams */
    bool client_gone;           /* it reset, or takes no more */
    bool server_deaf;           /* sending to it failed */
    bool up_ended, up_shut;     /* the client's end of file: seen, passed on */
    bool down_ended, down_shut; /* the server's */
    bool late;                  /* CLOSING: octets came that nobody wants */
    bool pinned;                /* DATAGRAMS: INNER is connected to the client's socket */
    int16_t server_index;       /* in the policy; -1 before it is known */
    int64_t deadline;           /* ms; 0: none */
    struct s5_gss *gss;
    struct s5_seal seal;
    uint32_t most;      /* octets one message carries; without a seal what one read takes */
    struct block *up;   /* sealed, for the server */
    struct block *down; /* AT..AT+PLAIN is for the client, RAW_AT..LEN came behind it, sealed */
    uint32_t down_plain, down_raw_at;
};

#define CONN_OF(watch, member) ((struct conn *)((char *)(watch)-offsetof(struct conn, member)))

/* What all connections share. */
struct conn_common {
    const struct s5_policy *policy;
    struct front_users users;
    bool shm;           /* of a process tree: the user name tells the server */
    struct conn *first; /* every connection */
    unsigned count;
    bool starved; /* accept() found no descriptor left */
    bool crowded; /* a UNIX socket's queue was full lately, and connections wait for it */
};
extern struct conn_common conns;

/* FD was accepted: owned from here on. */
void conn_begin(int fd);

/* Everything of C is let go; it is gone after the current event. */
void conn_end(struct conn *c);

/* What was needed for the negotiation is let go. */
void conn_end_talk(struct conn_talk *talk);

/* As conn_end, both sides with a reset. */
void conn_reset(struct conn *c);

/* The client hears of ERROR (or of REP, above 0), and C ends. */
void conn_refuse(struct conn *c, int error, uint8_t rep);

/* Writes what FRONT has to say. False: the client is gone, and C with it. */
bool conn_say(struct conn *c);

/* Once in a while: deadlines. */
void conn_expire(void);

const struct s5_server *conn_server(const struct conn *c);
const char *conn_server_name(const struct conn *c);

/* Room for anything, used within one event. */
extern uint8_t scratch_in[S5_GSS_MESSAGE_MAX], scratch_out[S5_GSS_MESSAGE_MAX];

#endif
