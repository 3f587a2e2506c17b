/* One open file description that is ours, as one process knows it. */
#ifndef S5_RECORD_H
#define S5_RECORD_H

#include "negotiation.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

enum s5_record_state {
    S5_RECORD_FREE = 0,
    S5_RECORD_IN_FLIGHT, /* flight is in flight, or over and not yet settled here; NULL: one thread
                          * is turning it into one of the next two */
    S5_RECORD_READY,     /* connected, the kernel's peer being the server */
    S5_RECORD_FAILED,    /* error waits to be fetched, by SO_ERROR, connect() or any octets */
    S5_RECORD_NAMED,     /* bound to an address at which it would listen through a server */
    S5_RECORD_LISTENING, /* its connections come in at a server */
    S5_RECORD_RELAYED,   /* datagrams: they go through the association its slots name */
    S5_RECORD_INTERNAL,  /* no descriptor of the program's: it belongs to one of the last two */
};

struct s5_listener;

/* What few records have. A record keeps it once it has had it, so a reader that comes late finds
 * what was there, or what stands for nothing. */
struct s5_record_more {
    _Atomic uint32_t dns_client; /* a resolver's socket: its number in nameserver.h's table, + 1 */
    _Atomic uint32_t in_transit; /* references held for messages, see calls/pass.c */
    uint64_t passed_at;          /* ns, when the latest of them began */
    uint16_t port;               /* when NAMED: as it was asked for */
    struct s5_endpoint local;    /* what getsockname() tells, when READY; len 0: what the kernel does */
    /* When LISTENING. The descriptors are hidden ones; -1: none. */
    struct s5_listener *_Atomic listener;
    _Atomic uint32_t listener_generation;
    uint32_t shadow_process;    /* the process whose epoll instances know the next two */
    _Atomic uint32_t serial;    /* of the BIND that these two belong to */
    _Atomic int32_t control;    /* the connection of the BIND: readable when somebody came */
    _Atomic int32_t wakeup_fd;  /* readable when the BIND is not the latest any more, or worth trying again */
    _Atomic int32_t channel_fd; /* where the two of the latest BIND are */
};

/* Small: with its slot it is what a connection costs for as long as it lasts. It is filled while nobody else knows
 * it; from s5_registry_publish() to s5_registry_free() it is alive. */
struct s5_record {
    _Atomic uint64_t use;       /* generation, which changes when it ends << 32 | references: slots that name it, and
                              * threads that hold it; none: it is not alive */
    _Atomic uint32_t state;     /* enum s5_record_state */
    _Atomic int32_t fd;         /* a descriptor that names it; -1: none does */
    int32_t error;              /* negative errno, when FAILED (0: the kernel keeps it, SO_ERROR), or
                              * NAMED: what the server said to a BIND */
    uint32_t number;            /* its own index + 1, for good */
    _Atomic uint32_t next_free; /* index + 1 in the free list */
    _Atomic uint32_t in_flight; /* place + 1 in the list of those in flight; 0: not in it */
    uint16_t server_index;      /* in the policy, for log lines; set when settled */
    uint16_t relayed;           /* number + 1 of the association, when RELAYED; else 0 */
    _Atomic uint32_t negotiation_generation;
    struct s5_negotiation *_Atomic negotiation; /* while FLYING; one reference */
    uint64_t cookie;                            /* SO_COOKIE of the socket */
    struct s5_record_more *_Atomic more;        /* NULL until the first time, see s5_registry_more */
    struct s5_endpoint peer;                    /* the application's, when FLYING or READY */
};

static_assert(sizeof(struct s5_record) <= 96, "with its slot it is 128 octets");

/* Whether RECORD, which is in flight, is a hidden connection: that of a listener's next BIND, which names no peer. */
static inline bool s5_record_is_internal(const struct s5_record *record)
{
    return record->peer.len == 0;
}

static inline uint32_t s5_record_refs(const struct s5_record *record)
{
    return (uint32_t)atomic_load(&record->use);
}

/* A reference for the time a thread is at RECORD, which may be closed meanwhile: it is not given back before.
 * hold: false, it is not alive. let_go: true, it has neither name nor holder now, and the caller disposes of it
 * (s5_fd_release_record() does both). */
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
