/* UDP ASSOCIATE: what a datagram socket of the application's has at a server.
 *
 * One association serves every destination of a socket. Where the socket is the application's only
 * for what goes through the server, the kernel's socket is connected to the relay, so that the
 * kernel itself drops what comes from elsewhere. Where it may also speak to somebody directly (it
 * was bound, or has sent to a destination that a rule lets out), it is `mixed`: datagrams to the
 * relay carry its address, and the source of each that comes in is looked at. */
#ifndef S5_ASSOCIATION_H
#define S5_ASSOCIATION_H

#include "cleanup.h"
#include "engine.h"
#include "fragments.h"
#include "latch.h"
#include "registry.h"
#include "udp_header.h"

#define S5_ASSOCIATIONS 4096u /* of one process */
#define S5_TARGETS      8u    /* destinations remembered with their headers */
#define S5_ALIASES      16u   /* destinations that were named, see struct s5_alias */

/* What a destination's datagrams begin with. */
struct s5_heading {
    bool direct;  /* a rule lets it out: there is no header */
    uint16_t len; /* octets of it */
    uint8_t octets[S5_UDP_HEADER_MAX];
};

struct s5_target {
    struct s5_endpoint to; /* as the application gave it; len 0: free */
    struct s5_heading heading;
};

/* A destination that goes to the server as a name, and that the relay reports as an address. */
struct s5_alias {
    struct s5_addr asked;    /* as the application gave it; NONE: free */
    struct s5_addr name;     /* as it goes to the server */
    struct s5_addr reported; /* what the relay calls it; NONE: nothing came from there yet */
};

struct s5_association {
    _Atomic uint32_t used, generation; /* a record has it, or is to get it; changes with that, both ways */
    _Atomic uint64_t busy;             /* s5_thread_token of who asks the server for it; under the engine's lock */
    _Atomic bool opening;              /* no record has it yet */
    uint64_t cookie;                   /* SO_COOKIE of the application's socket */
    _Atomic int32_t control;           /* hidden descriptor; -1: it is to be renewed, unless OWNER has it */
    _Atomic uint32_t owner;            /* number of the process that has the control connection; 0: not another one */
    _Atomic uint64_t cache_busy;       /* the thread that has targets and aliases in hand, see target.c; 0: none */
    _Atomic uint64_t looked;           /* ns (coarse clock), when CONTROL was looked at last */
    _Atomic uint64_t again;            /* ns; no earlier is it tried to be renewed */
    uint32_t server_index;             /* in the policy */
    uint16_t family;                   /* of the application's socket */
    _Atomic uint8_t expect;            /* octets of the header the next datagram is expected to have */
    bool mixed, corked;                /* not connected, see above; MSG_MORE: its header has gone already */
    uint32_t next_alias;               /* the next one to overwrite */
    uint64_t control_cookie;           /* SO_COOKIE of the control connection */
    struct s5_latch relay;             /* an endpoint: senders read it while it is renewed */
    struct s5_endpoint local;          /* what it was bound to before; the port may be 0 */
    struct s5_endpoint peer;           /* whom the application connected it to; len 0: nobody */
    struct s5_fragments *_Atomic fragments; /* NULL until the first one comes; stays */
    struct s5_target targets[S5_TARGETS];
    struct s5_alias aliases[S5_ALIASES];
};

/* The association FD's datagrams go through, or NULL. */
static inline struct s5_association *s5_association_of(const struct s5_engine *e, int fd)
{
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    uint32_t at = slot ? atomic_load_explicit(&slot->relayed, memory_order_acquire) : 0;
    struct s5_association *pool = atomic_load_explicit(&e->associations, memory_order_acquire);
    return at && pool ? &pool[at - 1] : NULL;
}

static inline struct s5_endpoint s5_association_relay(const struct s5_association *a)
{
    struct s5_endpoint relay;
    s5_latch_read(&a->relay, &relay, sizeof relay);
    return relay;
}

/* Whether FD's association is A, of GENERATION: after a sleep the number may be another socket's, and A too. */
static inline bool s5_association_is(const struct s5_engine *e, int fd, const struct s5_association *a,
                                     uint32_t generation)
{
    return s5_association_of(e, fd) == a && atomic_load_explicit(&a->generation, memory_order_relaxed) == generation;
}

/* RECORD, a new one, is FD's, and has A. 0, or -errno and RECORD is given back. */
int s5_association_enter(struct s5_engine *e, int fd, struct s5_record *record, struct s5_association *a);
/* FD's association, made at SERVER where there is none. PEER: whom it is connected to, or NULL. */
int s5_association_open(struct s5_engine *e, int fd, const struct s5_server *server, const struct s5_endpoint *peer,
                        struct s5_association **ret);
/* connect() on a UDP socket; TO is ADDR, whole. */
int s5_association_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
#define S5_ASSOCIATION_LOST (-EUNATCH) /* which no call on a datagram socket gives */

/* Before a datagram is sent: the control connection is looked at, now and then or (DOUBT) now, and the
 * association renewed. 0; LOST: not there at present, the datagram is lost; or -errno. */
S5_HOT int s5_association_fresh(struct s5_engine *e, struct s5_association *a, int fd, bool needs_check);
int s5_association_mix(struct s5_engine *e, struct s5_association *a, int fd); /* the socket receives from others too */

#endif
