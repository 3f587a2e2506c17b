/* UDP ASSOCIATE: what a datagram socket of the application's has at a server.
 *
 * One association serves every destination of a socket. Where the socket is the application's only
 * for what goes through the server, the kernel's socket is connected to the relay, so that the
 * kernel itself drops what comes from elsewhere. Where it may also speak to somebody directly (it
 * was bound, or has sent to a destination that a rule lets out), it is `mixed`: datagrams to the
 * relay carry its address, and the source of each that comes in is looked at. */
#ifndef S5_ASSOCIATE_H
#define S5_ASSOCIATE_H

#include "datagram.h"
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
    _Atomic uint32_t used;  /* a record has it */
    _Atomic uint64_t lock;  /* of whoever opens or renews it: process id << 32 | thread */
    _Atomic int32_t control; /* hidden descriptor; -1: it is to be renewed, unless OWNER has it */
    _Atomic uint32_t owner; /* number of the process that has the control connection; 0: not another one */
    _Atomic uint32_t cache_busy; /* targets and aliases are in somebody's hands */
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

/* An unused one and its number; NULL: there is none left. */
struct s5_association *s5_associate_take(struct s5_engine *e, uint32_t *ret);
/* RECORD, a new one, is FD's, and has association NUMBER. 0, or -errno and it is given back. */
int s5_associate_enter(struct s5_engine *e, int fd, struct s5_record *record, uint64_t cookie, uint32_t number);
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

/* The control connection of association *AT (set behind the last one where that is not in use); -1: none. */
int s5_associate_control(const struct s5_engine *e, uint32_t *at);
void s5_associate_moved(struct s5_engine *e, uint32_t at, int control);

/* --- associate_server.c --- */
/* The negotiation: *RET_RELAY for a socket of FAMILY. A connected descriptor (not hidden yet), or -errno.
 * PATIENCE: ns it may take at the most. */
int s5_associate_ask(struct s5_engine *e, const struct s5_server *server, int family,
                     uint64_t patience, struct s5_endpoint *ret_relay);

/* --- associate_exec.c --- */
/* RECORD's association may go through an exec. Whether it has one. */
bool s5_associate_hand_over(struct s5_engine *e, const struct s5_record *record);
bool s5_associate_adopt(struct s5_engine *e, int fd, uint64_t cookie);
void s5_associate_stay(struct s5_engine *e); /* it did not: control connections are this process's own again */
void s5_associate_adopted(struct s5_engine *e); /* control connections that came without their socket are closed */

/* --- target.c: where to, and from where --- */
/* The address SA names, of the two families that leave the machine: AF_UNSPEC is IPv4 to the kernel's UDP. */
bool s5_target_address(const struct sockaddr *sa, socklen_t len, struct s5_addr *ret);
bool s5_target_endpoint(const struct s5_addr *addr, int family, struct s5_endpoint *ret); /* false: none */
/* 0 direct, > 0 via *RET_SERVER (0.0.0.0 became 127.0.0.1), or -errno, logged; NAMED: TO became a name. */
int s5_target_route(struct s5_engine *e, struct s5_addr *to, const struct s5_server **ret_server,
                    bool *ret_named);
/* What is remembered of A, in one thread's hands; false: not to be had, go without. */
bool s5_target_lock(struct s5_association *a);
void s5_target_unlock(struct s5_association *a);
/* What datagrams of A to SA begin with. 0, or -errno. */
int s5_target_heading(struct s5_engine *e, struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                      struct s5_heading *ret);
/* The same into S5_DATAGRAM_MAX OCTETS: its length; 0: not remembered, or direct. */
S5_HOT size_t s5_target_recall(struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                               uint8_t *octets);
/* Whom the application is told FROM is. False: nothing to be told, or not its peer. */
bool s5_target_source(struct s5_engine *e, struct s5_association *a, const struct s5_addr *from,
                      struct s5_endpoint *ret);
/* The same by LEN octets of HEADER, where those to a remembered destination are equal. */
S5_HOT bool s5_target_heard(struct s5_association *a, const uint8_t *header, size_t len,
                            struct s5_endpoint *ret);

/* --- outgoing.c, incoming.c: the calls, on a socket that has an association --- */
S5_HOT ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg, int flags);
int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags);
S5_HOT ssize_t s5_incoming_receive(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg, int flags);
int s5_incoming_recvmmsg(struct s5_engine *e, struct s5_association *a, int fd,
                         struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);
/* Octets of the next datagram, as FIONREAD tells. */
int s5_incoming_next(struct s5_engine *e, struct s5_association *a, int fd);

/* --- associate_query.c --- */
int s5_associate_getsockname(struct s5_engine *e, struct s5_association *a, int fd, struct sockaddr *addr, socklen_t *len);
int s5_associate_getpeername(struct s5_engine *e, struct s5_association *a, int fd,
                             struct sockaddr *addr, socklen_t *len);
int s5_associate_getsockopt(struct s5_engine *e, struct s5_association *a, int fd, int level,
                            int name, void *value, socklen_t *len);

#endif
