/* UDP ASSOCIATE: the association of an application's datagram socket with a server.
 *
 * One association serves every destination of a socket. Where the application uses the socket only for destinations
 * behind the server, the kernel's socket is connected to the relay, so that the kernel drops datagrams from other
 * sources. Where the socket may also send directly (it was bound, or has sent to a destination that a rule makes
 * direct), or is an unconnected IPv6 socket, the association is `mixed`: datagrams to the relay carry its address, and
 * the source of each received datagram is checked. */
#ifndef S5_ASSOCIATION_H
#define S5_ASSOCIATION_H

#include "cleanup.h"
#include "engine.h"
#include "fragments.h"
#include "latch.h"
#include "registry.h"
#include "result.h"
#include "udp_header.h"

#define S5_ASSOCIATIONS 4096u /* in one process */
#define S5_TARGETS      8u    /* destinations whose headers are cached */
#define S5_ALIASES      16u   /* destinations sent as names, see struct s5_alias */

/* What the datagrams to a destination begin with. */
struct s5_heading {
    bool direct;  /* a rule makes the destination direct: no header */
    uint16_t len; /* octets of the header */
    uint8_t octets[S5_UDP_HEADER_MAX];
};

struct s5_target {
    struct s5_endpoint to; /* as the application gave it; len 0: free */
    struct s5_heading heading;
};

/* A destination that is sent to the server as a name and reported by the relay as an address. */
struct s5_alias {
    struct s5_addr asked;    /* as the application gave it; NONE: free */
    struct s5_addr name;     /* as it is sent to the server */
    struct s5_addr reported; /* the address that the relay reports; NONE: nothing received yet */
};

struct s5_association {
    _Atomic uint32_t used, generation; /* a record has it, or will get it; counts takes and releases */
    _Atomic uint64_t busy;       /* s5_thread_token of the thread that requests it; 0: none; under associations_lock */
    _Atomic bool opening;        /* no record has it yet */
    uint64_t cookie;             /* SO_COOKIE of the application's socket */
    _Atomic int32_t control;     /* internal descriptor; -1: to be renewed, unless OWNER has it */
    _Atomic uint32_t owner;      /* number of the other process that has the control connection; 0: none */
    _Atomic uint64_t cache_busy; /* holder of the lock of targets and aliases, see target.c; 0: none */
    _Atomic uint64_t looked;     /* ns (coarse clock) of the last check of CONTROL */
    _Atomic uint64_t again;      /* ns; no renewal is tried before */
    uint32_t server_index;       /* index in the policy */
    uint32_t policy_generation;  /* of the policy that chose the server; 0 also after an exec */
    uint64_t server_key;         /* s5_server_cache_key() of the server; 0: unknown, after an exec */
    struct s5_choice choice;     /* among the servers of its rule; rule 0: it has one, or this process received it */
    uint16_t family;             /* of the application's socket */
    _Atomic uint8_t expect;      /* octets of the header expected in the next datagram */
    bool mixed, corked;          /* mixed: see above; corked: after MSG_MORE, the header is sent already */
    uint32_t next_alias;         /* next alias to overwrite */
    uint64_t control_cookie;     /* SO_COOKIE of the control connection */
    struct s5_latch relay;       /* an endpoint; senders read it during a renewal */
    struct s5_endpoint local;    /* address bound before; the port may be 0 */
    struct s5_endpoint peer;     /* the address the application connected it to; len 0: none */
    struct s5_fragments *_Atomic fragments; /* NULL until the first fragment; then kept */
    struct s5_target targets[S5_TARGETS];
    struct s5_alias aliases[S5_ALIASES];
};

/* The association that FD's datagrams use, or NULL. */
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

/* Whether FD has the association A, of GENERATION. After a wait, the number FD and A may belong to another socket. */
static inline bool s5_association_is(const struct s5_engine *e, int fd, const struct s5_association *a,
                                     uint32_t generation)
{
    return s5_association_of(e, fd) == a && atomic_load_explicit(&a->generation, memory_order_relaxed) == generation;
}

/* Gives FD the new RECORD, with the association A. 0; -errno: RECORD was released. */
int s5_association_enter(struct s5_engine *e, int fd, struct s5_record *record, struct s5_association *a);
/* FD's association into *RET. A new one, where FD has none, is at SERVER, or at one of several: ROUTE is the result of
 * s5_route() for TO. PEER: the address FD is connected to, or NULL. Blocks while it is requested. 0 or -errno.
 * Preserves errno. */
int s5_association_open(struct s5_engine *e, int fd, int route, const struct s5_server *server,
                        const struct s5_addr *to, const struct s5_endpoint *peer, struct s5_association **ret);
/* Whether a datagram on FD waits for its server: the association has ended, or is being made. A system call. */
bool s5_association_waits(struct s5_engine *e, int fd);
/* connect() on the UDP socket FD. ADDR, of LEN octets, is a copy in the engine's memory. 0 or -errno. */
int s5_association_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);

/* Before a datagram is sent: checks the control connection, at most ten times a second or at once with NEEDS_CHECK,
 * and renews the association where it has ended. 0; S5_RESULT_ASSOCIATION_LOST: there is none at present, and the
 * datagram is lost; or -errno. */
S5_HOT int s5_association_fresh(struct s5_engine *e, struct s5_association *a, int fd, bool needs_check);
int s5_association_mix(struct s5_engine *e, struct s5_association *a, int fd); /* makes A mixed; 0 or -errno */

#endif
