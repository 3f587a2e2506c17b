/* What a process that receives a socket of the engine must know about it. A socket reaches another process through an
 * exec (fd/fd_ops.c) or over a UNIX socket (calls/pass.c). */
#ifndef S5_EXPORTED_H
#define S5_EXPORTED_H
#include "negotiation.h"

#define S5_SHM_PASSED 1024

/* A connected socket that goes through an exec: the peer that its program connected to. */
struct s5_exported {
    _Atomic uint64_t cookie; /* SO_COOKIE; 0: free; all ones: being written */
    _Atomic uint32_t age;    /* value of exports_at at the latest export */
    struct s5_endpoint peer, local;
};

/* A socket that is passed over a UNIX socket (SCM_RIGHTS). See calls/passed.h. */
struct s5_passed {
    _Atomic uint32_t version;              /* odd while the entry is written; each write changes it */
    uint32_t state;                        /* enum s5_record_state of the sender's record */
    _Atomic uint64_t cookie;               /* SO_COOKIE; 0: free */
    int32_t error;                         /* when FAILED or NAMED */
    uint32_t server_index;                 /* when FAILED or RELAYED */
    uint16_t port;                         /* when NAMED */
    uint16_t family;                       /* when RELAYED */
    s5_flag mixed;                         /* when RELAYED, see udp/association.h */
    struct s5_endpoint peer, local, relay; /* when READY, FAILED or RELAYED */
    /* The internal descriptor that belongs to the socket: a control connection or a descriptor channel. */
    int32_t internal;         /* its number in the sender; -1: none */
    uint64_t internal_cookie; /* its SO_COOKIE */
    uint32_t process, pid;    /* of the process that has the internal descriptor; PID 0: unknown */
    /* How often the socket was sent, received with the internal descriptor, and received without it. */
    _Atomic uint32_t sent, taken, shared;
};

#endif
