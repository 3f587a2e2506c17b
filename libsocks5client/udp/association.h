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
#include "udp_header.h"
#include "engine.h"
#include "fragments.h"
#include "latch.h"

#define S5_ASSOCIATIONS 4096u /* of one process */
#define S5_TARGETS      8u    /* destinations remembered with their headers */
#define S5_ALIASES      16u   /* destinations that were named, see struct s5_alias */

/* What a destination's datagrams begin with. */
struct s5_heading {
    bool direct;  /* a rule lets it out: there is no header */
    uint16_t len; /* octets of it */
    uint8_t octets[S5_DATAGRAM_MAX];
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
    _Atomic uint64_t busy;  /* s5_thread_token of who asks the server for it; under the engine's lock */
    _Atomic bool opening;   /* no record has it yet */
    uint64_t cookie;        /* SO_COOKIE of the application's socket */
    _Atomic int32_t control; /* hidden descriptor; -1: it is to be renewed, unless OWNER has it */
    _Atomic uint32_t owner; /* number of the process that has the control connection; 0: not another one */
    _Atomic uint64_t cache_busy; /* the thread that has targets and aliases in hand, see target.c; 0: none */
    _Atomic uint64_t looked; /* ns (coarse clock), when CONTROL was looked at last */
    _Atomic uint64_t again;  /* ns; no earlier is it tried to be renewed */
    uint32_t server_index;   /* in the policy */
    uint16_t family;         /* of the application's socket */
    _Atomic uint8_t expect;  /* octets of the header the next datagram is expected to have */
    bool mixed, corked;      /* not connected, see above; MSG_MORE: its header has gone already */
    uint32_t next_alias;     /* the next one to overwrite */
    uint64_t control_cookie; /* SO_COOKIE of the control connection */
    struct s5_latch relay;   /* an endpoint: senders read it while it is renewed */
    struct s5_endpoint local; /* what it was bound to before; the port may be 0 */
    struct s5_endpoint peer;  /* whom the application connected it to; len 0: nobody */
    struct s5_fragments *_Atomic fragments; /* NULL until the first one comes; stays */
    struct s5_target targets[S5_TARGETS];
    struct s5_alias aliases[S5_ALIASES];
};

/* The association FD's datagrams go through, or NULL. */
static inline struct s5_association *s5_associate_of(const struct s5_engine *e, int fd)
{
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    uint32_t at = slot ? atomic_load_explicit(&slot->relayed, memory_order_acquire) : 0;
    struct s5_association *pool = atomic_load_explicit(&e->associations, memory_order_acquire);
    return at && pool ? &pool[at - 1] : NULL;
}

static inline struct s5_endpoint s5_associate_relay(const struct s5_association *a)
{
    struct s5_endpoint relay;
    s5_latch_read(&a->relay, &relay, sizeof relay);
    return relay;
}

/* Whether FD's association is A, of GENERATION: after a sleep the number may be another socket's, and A too. */
static inline bool s5_associate_is(const struct s5_engine *e, int fd, const struct s5_association *a,
                                   uint32_t generation)
{
    return s5_associate_of(e, fd) == a &&
           atomic_load_explicit(&a->generation, memory_order_relaxed) == generation;
}

/* Whether it is, for a call that began with A of GENERATION for the socket COOKIE: 0; -EBADF: FD is closed, or
 * another socket's; -ESTALE: the socket has no such association any more. */
int s5_associate_still(struct s5_engine *e, const struct s5_association *a, uint32_t generation, uint64_t cookie,
                       int fd);
/* An unused one, for the socket of COOKIE, and its number; NULL: there is none left. */
struct s5_association *s5_associate_take(struct s5_engine *e, uint64_t cookie, uint32_t *ret);
/* RECORD, a new one, is FD's, and has A. 0, or -errno and RECORD is given back. */
int s5_associate_enter(struct s5_engine *e, int fd, struct s5_record *record, struct s5_association *a);
/* FD's association, made at SERVER where there is none. PEER: whom it is connected to, or NULL. */
int s5_associate_open(struct s5_engine *e, int fd, const struct s5_server *server,
                      const struct s5_endpoint *peer, struct s5_association **ret);
/* connect() on a UDP socket; TO is ADDR, whole. */
int s5_associate_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
#define S5_ASSOCIATE_LOST (-EUNATCH) /* which no call on a datagram socket gives */
/* Before a datagram is sent: the control connection is looked at, now and then or (DOUBT) now, and the
 * association renewed. 0; LOST: not there at present, the datagram is lost; or -errno. */
S5_HOT int s5_associate_fresh(struct s5_engine *e, struct s5_association *a, int fd, bool doubt);
int s5_associate_mix(struct s5_engine *e, struct s5_association *a, int fd); /* the socket receives from others too */
void s5_associate_end(struct s5_engine *e, uint32_t number); /* the record that had association NUMBER is no more */
/* Under the lock: A is none any more; the calling thread is about to ask the server for it, as CALL notes. */
void s5_associate_give(struct s5_engine *e, struct s5_association *a);
void s5_associate_begin_asking(struct s5_association *a, struct s5_cleanup *call);
/* The thread that asked the server for A, of GENERATION, does not go on. */
void s5_associate_abandon(struct s5_engine *e, struct s5_association *a, uint32_t generation);
/* RUN of such a CALL's entry: see s5_blocking_give_back; who asked for an association does not go on. */
s5_cleanup_fn s5_associate_give_back;

/* The control connection of association *AT (set behind the last one where that is not in use); -1: none. */
int s5_associate_control(const struct s5_engine *e, uint32_t *at);

/* --- associate_server.c --- */
/* The negotiation: *RET_RELAY for a socket of FAMILY. A connected descriptor (not hidden yet), or
 * -errno. PATIENCE: ns it may take at the most. What is held meanwhile, and the descriptor, are noted in CALL;
 * -ECONNABORTED where the entry, of TICKET, was given back. */
int s5_associate_ask(struct s5_engine *e, const struct s5_server *server, int family,
                     uint64_t patience, struct s5_cleanup *call, uint32_t ticket,
                     struct s5_endpoint *ret_relay);

struct s5_kind;
extern const struct s5_kind s5_associate_kind, s5_associate_exec_kind; /* associate_pool.c, associate_exec.c */

/* --- outgoing.c, incoming.c: the calls, on a socket that has an association --- */
S5_HOT ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg,
                                int flags);
int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags);
S5_HOT ssize_t s5_incoming_receive(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg,
                                   int flags);
int s5_incoming_recvmmsg(struct s5_engine *e, struct s5_association *a, int fd,
                         struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);

/* --- associate_query.c --- */
/* Octets of the next datagram, as FIONREAD tells. */
int s5_incoming_next(struct s5_engine *e, struct s5_association *a, int fd);
/* Operations of the kind. */
int s5_associate_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                             socklen_t *len);
int s5_associate_getpeername(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                             socklen_t *len);
int s5_associate_getsockopt(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                            socklen_t *len);

#endif
