/* A record: an open file description that the engine handles, as one process sees it. */
#ifndef S5_RECORD_H
#define S5_RECORD_H

#include "negotiation.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

enum s5_record_state {
    S5_RECORD_FREE = 0,
    S5_RECORD_IN_FLIGHT, /* NEGOTIATION is in flight, or has ended and is not completed here yet; NULL: a thread is
                          * changing the state to one of the next two */
    S5_RECORD_READY,     /* connected; the kernel's peer is the server */
    S5_RECORD_FAILED,    /* ERROR is reported once, by SO_ERROR, connect(), or a read or write */
    S5_RECORD_NAMED,     /* bound to an address for which it would listen through a server */
    S5_RECORD_LISTENING, /* its connections arrive at a server */
    S5_RECORD_RELAYED,   /* a datagram socket that uses the association named in its slots */
    S5_RECORD_INTERNAL,  /* an internal descriptor, which belongs to one of the last two */
};

struct s5_listener;

/* The part that few records need. A record keeps it once it has one, so a late reader finds the former values or the
 * values that mean none. */
struct s5_record_more {
    _Atomic uint32_t dns_client; /* the socket of a DNS client: index + 1 in the table of dns_client.h */
    _Atomic uint32_t in_transit; /* references held for messages that were not received yet, see calls/pass.c */
    uint64_t passed_at;          /* ns, when the latest of them was taken */
    uint16_t port;               /* when NAMED: the port that bind() asked for */
    struct s5_endpoint local;    /* when READY: the result of getsockname(); len 0: the kernel's */
    /* When LISTENING. The descriptors are internal; -1: none. */
    struct s5_listener *_Atomic listener;
    _Atomic uint32_t listener_generation;
    uint32_t shadow_process;    /* PID of the process in whose epoll instances CONTROL and WAKEUP_FD are registered */
    _Atomic uint32_t serial;    /* of the BIND that CONTROL and WAKEUP_FD belong to */
    _Atomic int32_t control;    /* the connection of the BIND: readable when a peer has connected */
    _Atomic int32_t wakeup_fd;  /* readable when another BIND replaces this one, or when BIND should be retried */
    _Atomic int32_t channel_fd; /* descriptor channel: carries the two descriptors of the latest BIND */
};

/* A record is small: with its slot it is all that a connection costs while it exists. The caller fills it before other
 * threads know it. It is alive from s5_registry_publish() to s5_registry_free(). */
struct s5_record {
    _Atomic uint64_t use;   /* generation << 32 | references of slots that name it and threads that hold it. The
                             * generation changes when the record is freed. No references: it is not alive */
    _Atomic uint32_t state; /* enum s5_record_state */
    _Atomic int32_t fd;     /* a descriptor that names it; -1: none */
    int32_t error;          /* negative errno: when FAILED, of the connection (0: the kernel has it in SO_ERROR); when
                             * NAMED, of a BIND */
    uint32_t number;        /* its own index + 1; never changes */
    _Atomic uint32_t next_free; /* index + 1 in the free list */
    _Atomic uint32_t in_flight; /* index + 1 in the in-flight list; 0: not in it */
    uint16_t server_index;      /* in the policy, for log lines; set on completion */
    uint16_t relayed;           /* number + 1 of the association, when RELAYED; else 0 */
    _Atomic uint32_t negotiation_generation;
    struct s5_negotiation *_Atomic negotiation; /* while IN_FLIGHT; one reference */
    uint64_t cookie;                            /* SO_COOKIE of the socket */
    struct s5_record_more *_Atomic more;        /* NULL until first needed, see s5_registry_more */
    struct s5_endpoint peer;                    /* the application's, when IN_FLIGHT or READY */
};

static_assert(sizeof(struct s5_record) <= 96, "with its slot it is 128 octets");

/* Returns whether RECORD, which is in flight, is an internal connection: that of a listener's next BIND, which has no
 * peer. */
static inline bool s5_record_is_internal(const struct s5_record *record)
{
    return record->peer.len == 0;
}

static inline uint32_t s5_record_refs(const struct s5_record *record)
{
    return (uint32_t)atomic_load(&record->use);
}

/* Takes and releases a reference for a thread that uses RECORD. Its descriptors may be closed meanwhile, but the record
 * is not freed before the reference is released. hold returns false where the record is not alive. release returns true
 * where no descriptor and no holder is left: then the caller disposes of the record (s5_fd_release_record() does
 * both). */
static inline bool s5_record_hold(struct s5_record *record)
{
    uint64_t use = atomic_load(&record->use);
    do {
        if (!(uint32_t)use)
            return false;
    } while (!atomic_compare_exchange_weak(&record->use, &use, use + 1));
    return true;
}
static inline bool s5_record_release(struct s5_record *record)
{
    return (uint32_t)atomic_fetch_sub(&record->use, 1) == 1;
}

#endif
