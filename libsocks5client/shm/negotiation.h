/* One negotiation in flight: a session, the socket it runs over, its deadlines.
 *
 * It lives in the memory the process tree shares, since a fork or an exec while connecting leaves several processes
 * with the same open file description; whoever holds its lock may carry it on by one turn that never blocks. */
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

/* How long somebody sleeps who waits for a flight that others may carry on as well (ns): whoever
 * reads its last octet leaves nothing on the socket that would wake the rest. Those who wait with
 * epoll are woken by the registrations that are given back. */
#define S5_POLL_INTERVAL (S5_CLOCK_SECOND / 20)

struct s5_engine;
struct s5_record;
struct s5_server;

/* In this order; only s5_negotiation_step, s5_negotiation_begin and s5_negotiation_release change it. */
enum s5_negotiation_phase {
    S5_NEGOTIATION_FREE = 0,
    S5_NEGOTIATION_TAKEN,   /* connect() to the server is about to be called, or blocks */
    S5_NEGOTIATION_DIALING, /* connect() to the server under way */
    S5_NEGOTIATION_TALKING, /* octets of the negotiation go out and come in */
    S5_NEGOTIATION_READY,   /* the socket is the application's; BIND: the first reply is in hand */
    S5_NEGOTIATION_FAILED,  /* error tells; 0: the kernel keeps it. Not connected in any case */
};

struct s5_negotiation {
    struct s5_references references; /* of records, of all processes, that name it, and threads at it */
    _Atomic uint64_t lock;           /* holder: number of its process << 32 | thread; 0: nobody */
    _Atomic uint32_t phase;          /* enum s5_negotiation_phase */
    _Atomic uint32_t rearm;          /* an event came while TAKEN: who dials has to look */
    _Atomic uint32_t event_pending;  /* an event came during a turn: who takes it has to look again */
    _Atomic uint64_t step_due;       /* ns; when a turn is due at the latest, whatever the socket does */
    _Atomic short poll_events;       /* POLLIN or POLLOUT: what the next turn waits for */
    _Atomic uint32_t driver;         /* number of the process whose blocking call has it; 0: the calls that wait do */
    _Atomic uint32_t next_free;      /* index + 1 in the free list */
    int32_t error;                   /* negative errno, when FAILED; 0: SO_ERROR has it */
    int32_t rcvlowat;                /* the program's SO_RCVLOWAT while the socket's is 1; 0: it is as it was */
    s5_flag probing;                 /* pipelined to a server of unknown standing: may start anew */
    s5_flag again;                   /* started anew, step by step */
    uint32_t written, pieces;    /* octets of the negotiation in this connection to the server; in how many writes */
    _Atomic s5_flag unattended;  /* the program runs meanwhile, and may write where no hook sees it */
    s5_flag keeps_port;          /* bind() had the kernel choose a port: another try has it too */
    uint8_t command;             /* enum s5_command: CONNECT or BIND */
    uint64_t cookie;             /* SO_COOKIE of the socket */
    uint64_t begun;              /* ns, when the connection was asked for */
    uint64_t deadline;           /* ns; the server's timeout */
    uint64_t block_until;        /* ns; until when the dialling call may block (SO_SNDTIMEO) */
    uint64_t probe_until;        /* ns; a probing flight starts anew then; S5_CLOCK_NEVER */
    _Atomic uint64_t sent;       /* ns, when the request went out last */
    uint64_t probe_waited;       /* ns a probe waited in vain for its reply; 0: it did not */
    uint64_t cache_key;          /* key of the server, see standing.h */
    struct s5_endpoint server;   /* as dialled: v4-mapped on an AF_INET6 socket */
    struct s5_endpoint peer;     /* whom the application asked for */
    uint32_t server_index;       /* in the policy, for log lines */
    struct s5_identity identity; /* where the server is isolated */
    struct s5_session session;
};

#endif
