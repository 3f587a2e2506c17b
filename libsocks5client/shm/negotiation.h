/* One negotiation: a session, the socket it uses, and its deadlines.
 *
 * A negotiation is in shared memory, because a fork or an exec while a socket is connecting leaves several processes
 * with the same open file description. The holder of its lock may advance it by one step. A step never blocks. */
#ifndef S5_NEGOTIATION_H
#define S5_NEGOTIATION_H

#include "clock.h"
#include "critical.h"
#include "endpoint.h"
#include "isolation.h"
#include "references.h"
#include "session.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The poll interval (ns) of a wait for a negotiation that other threads or processes may step as well: the thread that
 * reads the last octet leaves nothing on the socket that would wake the other waiters. Waiters that use epoll are woken
 * when the registrations are restored. */
#define S5_POLL_INTERVAL (S5_CLOCK_SECOND / 20)

struct s5_engine;
struct s5_record;
struct s5_server;

/* The phases in their order. Only s5_negotiation_step, s5_negotiation_begin and s5_negotiation_release change it. */
enum s5_negotiation_phase {
    S5_NEGOTIATION_FREE = 0,
    S5_NEGOTIATION_TAKEN,   /* connect() to the server is about to be called, or blocks */
    S5_NEGOTIATION_DIALING, /* connect() to the server is in progress */
    S5_NEGOTIATION_TALKING, /* octets of the negotiation are sent and received */
    S5_NEGOTIATION_READY,   /* the socket is the application's; BIND: the first reply was received */
    S5_NEGOTIATION_FAILED,  /* ERROR has the cause; 0: the kernel has it. The socket is not connected in either case */
};

/* Which of the calls of connect() to a server is the next. */
enum s5_attempt {
    S5_ATTEMPT_ONLY,  /* it may take the whole time */
    S5_ATTEMPT_FIRST, /* of those to several servers: its time is limited in steps */
    S5_ATTEMPT_LATER, /* in a step, which does not block */
};

/* The choice of a flow among the servers of its rule. */
struct s5_choice {
    uint16_t rule;       /* index + 1; 0: there is one server, and nothing to choose */
    uint8_t at;          /* place in the list of the server that is used */
    uint8_t left;        /* number of servers that can be tried after it */
    s5_flag probe;       /* this flow is the one that tries a server that was down */
    s5_flag indulgent;   /* a reply of "next-on" was passed over: the next one is the program's */
    uint32_t generation; /* of the policy that has the rule, see reload/reload.h */
    uint32_t tried;      /* bit I: the server at place I of the list was tried */
    uint64_t seed;       /* decides the order */
    uint64_t until;      /* ns; the limit for all servers together */
};

/* The way of a connection through the servers of a chain. Its hops are numbered from 0. */
struct s5_chain {
    uint8_t n;                     /* number of hops; 0: there is no chain */
    uint8_t at;                    /* the hop that the session is with */
    uint8_t ahead;                 /* the messages of the hops below it were written, as far as that was possible */
    uint16_t ahead_sent;           /* octets that were written of those of hop AHEAD; 0: none */
    uint16_t piped;                /* bit I: the session with hop I, which was written ahead, is pipelined */
    uint16_t probes;               /* bit I: this flow is the one that tries hop I, which was down */
    uint32_t dead;                 /* bit I: the server at place I of the list failed */
    uint32_t stepwise;             /* bit I: it gets one message at a time, because a pipelined attempt failed */
    uint64_t until;                /* ns; the limit for all attempts together */
    uint64_t round_trip;           /* ns that the answer of the hop before AT took */
    uint32_t generation;           /* of the policy that has the chain, see reload/reload.h */
    uint8_t places[S5_CHAIN_HOPS]; /* of the hops in the list of the chain */
    uint8_t hops[S5_CHAIN_HOPS];   /* their indexes in the policy, the same in all generations */
    struct s5_addr to;             /* the destination */
};

struct s5_negotiation {
    struct s5_references references; /* of records of all processes that name it, and of threads that use it */
    _Atomic uint64_t lock;           /* holder: number of its process << 32 | thread; 0: not locked */
    _Atomic uint32_t phase;          /* enum s5_negotiation_phase */
    _Atomic uint32_t rearm;          /* an event came while TAKEN: the thread in connect() has to take a step */
    _Atomic uint32_t event_pending;  /* an event came during a step: the thread that steps has to step again */
    _Atomic uint64_t step_due;       /* ns; when a step is due at the latest, whatever the socket does */
    _Atomic short poll_events;       /* POLLIN or POLLOUT: the event that the next step waits for */
    _Atomic uint32_t driver;         /* number of the process whose blocking call drives it; 0: calls that wait do */
    _Atomic uint32_t next_free;      /* index + 1 in the free list */
    int32_t error;                   /* negative errno, when FAILED; 0: SO_ERROR has it */
    int32_t rcvlowat;                /* the program's SO_RCVLOWAT while it is overridden by 1; 0: not overridden */
    s5_flag probing;                 /* pipelined to a server that the cache does not know: may start again */
    s5_flag again;                   /* started again, step by step */
    uint8_t mark;                    /* enum s5_reply_mark: what the bridge said of its server */
    uint8_t attempt;                 /* enum s5_attempt */
    s5_flag keeps_port;              /* bind() had the kernel choose a port: another attempt uses the same port */
    uint32_t written, pieces;    /* octets of the negotiation in this connection to the server; in how many writes */
    _Atomic s5_flag unattended;  /* the program runs meanwhile, and may write where no hook sees it */
    uint8_t command;             /* enum s5_command */
    uint64_t cookie;             /* SO_COOKIE of the socket */
    uint64_t begun;              /* ns, when the connection was requested */
    uint64_t deadline;           /* ns; the server's timeout */
    uint64_t block_until;        /* ns; until when the call that connects may block (SO_SNDTIMEO) */
    uint64_t probe_until;        /* ns; a probing negotiation starts again then; S5_CLOCK_NEVER */
    _Atomic uint64_t sent;       /* ns, when a request was last sent; 0: never */
    uint64_t probe_waited;       /* ns that a probe waited in vain for its reply; 0: it did not */
    uint64_t server_key;         /* key of the server, see server_cache.h */
    struct s5_endpoint server;   /* as passed to connect(): v4-mapped on an AF_INET6 socket */
    struct s5_endpoint peer;     /* the address that the application passed to connect() */
    uint32_t server_index;       /* in the policy, for log lines */
    struct s5_choice choice;     /* if the rule has several servers: what is left of them */
    struct s5_chain chain;       /* if the server is a chain; valid if n is not 0 */
    struct s5_identity identity; /* where the server is isolated */
    struct s5_session session;
};

#endif
