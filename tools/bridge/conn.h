/* A connection of a program on this machine, from its greeting to its end. */
#ifndef BRIDGE_CONN_H
#define BRIDGE_CONN_H

#include "front.h"
#include "gss.h"
#include "gss_link.h"
#include "loop.h"
#include "policy.h"
#include "relay.h"
#include <stddef.h>

enum conn_state {
    CONN_FRONT,     /* the client has not sent its whole request */
    CONN_TICKET,    /* waits for a Kerberos ticket */
    CONN_DIALING,   /* connect() to the server is in progress */
    CONN_WAITING,   /* waits for space in the queue of the server's UNIX socket */
    CONN_TALKING,   /* negotiates with the server */
    CONN_RELAY,     /* relays octets both ways */
    CONN_DATAGRAMS, /* relays the datagrams of an association */
};

/* What a connection needs until the stream belongs to the client. It is freed then. */
struct conn_upstream {
    struct front front;
    struct s5_gss_link link;
    struct s5_gss_buffers *buffers; /* mapped; NULL without GSSAPI */
    unsigned address;               /* index of the server's next address */
    bool without_gssapi;            /* there is no ticket; only the other methods are offered */
};

struct conn {
    struct relay relay;        /* the streams to the client and to the server */
    struct watch inner, outer; /* datagrams: the socket to the client, and to the relay */
    struct conn *next, *prev;
    struct conn_upstream *upstream;
    uint8_t state;        /* enum conn_state */
    bool sealed;          /* SEAL protects the stream and datagrams */
    bool pinned;          /* DATAGRAMS: INNER is connected to the client's socket */
    int16_t server_index; /* index in the policy; -1: not known yet */
    const struct s5_policy *policy; /* in force when the request came; a reload does not change it */
    int16_t rule;         /* the rule that chose among its servers; -1: there is no choice */
    uint32_t tried;       /* bit I: the server at place I of the rule's list was tried */
    int64_t deadline;     /* ms; 0: none */
    int64_t until;        /* ms; with RULE: the limit for all servers together */
    struct s5_gss *gss;
    struct s5_seal seal;
};

#define CONN_OF(watch, member) ((struct conn *)((char *)(watch)-offsetof(struct conn, member)))

/* What all connections share. */
struct conn_common {
    const struct s5_policy *policy; /* in force; an older one stays in memory, since connections use it */
    void (*refresh)(void);          /* makes POLICY the newest one; NULL: it is */
    struct front_users users;
    bool shm;           /* serves a process tree: the user name has the index of the server */
    struct conn *first; /* list of all connections */
    unsigned count;
    bool starved; /* accept() failed for lack of descriptors or memory */
    bool crowded; /* the queue of a UNIX socket was full lately, and connections wait for it */
};
extern struct conn_common conns;

/* Starts a connection on FD, an accepted socket. Takes ownership of FD. */
void conn_begin(int fd);

/* Closes the descriptors of C and releases its resources. The memory of C is freed after the current events. */
void conn_end(struct conn *c);

/* Overwrites and frees U, which may be NULL. */
void conn_end_upstream(struct conn_upstream *u);

/* Ends C as conn_end() does, with a reset on both sides. */
void conn_reset(struct conn *c);

/* Sends the client the reply for ERROR, a negative errno, or for REP if that is above 0. Ends C. */
void conn_refuse(struct conn *c, int error, uint8_t rep);

/* Sends the output of the front to the client. Returns false if that fails; C is ended then. */
bool conn_say(struct conn *c);

/* Ends the connections whose deadline has passed, and dials again for those that are WAITING. Called from time to
 * time. */
void conn_expire(void);

const struct s5_server *conn_server(const struct conn *c);
const char *conn_server_name(const struct conn *c);

#endif
