/* Kinds of sockets. Each kind has a table of operations, in the file that implements the kind, for what happens to
 * sockets of all kinds. Code that forks, execs or closes walks the tables. A new kind needs only a new table.
 *
 * An operation that a kind does not need is NULL. */
#ifndef S5_KIND_H
#define S5_KIND_H

#include "negotiation.h"
#include "record.h"

struct s5_engine;
struct s5_passed;

/* The result for a socket that was received, and for the internal descriptor that belongs to it. */
enum s5_received {
    S5_RECEIVED_NOT,    /* the socket is of another kind */
    S5_RECEIVED,        /* there is no internal descriptor, or the socket could not be imported */
    S5_RECEIVED_TAKEN,  /* this process has an internal descriptor of its own */
    S5_RECEIVED_SHARED, /* the socket depends on the sender's internal descriptor */
};

struct s5_kind {
    /* --- the end of a descriptor --- */
    /* A descriptor of RECORD is about to be closed or replaced. */
    void (*close)(struct s5_engine *e, struct s5_record *record);
    /* RECORD has no descriptor and no holder any more: releases what the kind keeps for it. */
    void (*end)(struct s5_engine *e, struct s5_record *record);
    /* The program is about to use the number FD: moves an internal descriptor of the kind away from it. */
    void (*move)(struct s5_engine *e, int fd);

    /* --- queries of a program about FD, a descriptor of RECORD: 0, -errno or S5_KERNEL_KNOWS --- */
    int (*getpeername)(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getsockname)(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getsockopt)(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                      socklen_t *len);

    /* --- a negotiation of an internal connection --- */
    /* The negotiation F of RECORD has ended; READY: it succeeded. */
    void (*complete)(struct s5_engine *e, struct s5_record *record, const struct s5_negotiation *f, bool ready);

    /* --- a fork, see s5_engine_fork_prepare() --- */
    /* Takes references for the child that will have NUMBER. Returns how many. */
    uint32_t (*fork)(struct s5_engine *e, uint32_t number);
    /* In the child: confirms them. Returns how many. */
    uint32_t (*fork_child)(struct s5_engine *e, uint32_t number);
    /* Releases references of NUMBER that no child has confirmed. */
    void (*no_child)(struct s5_engine *e, uint32_t number);

    /* --- an exec, see s5_fd_export_all() --- */
    /* Writes what goes through the exec to shared memory. Returns whether there is any. Safe in a child of vfork. */
    bool (*export)(struct s5_engine *e);
    /* The exec has failed. */
    void (*export_cancel)(struct s5_engine *e);
    /* In the new program: imports FD, a socket with COOKIE. Returns whether it is of this kind. */
    bool (*import)(struct s5_engine *e, int fd, uint64_t cookie);
    /* The same for FD, a connection that was exported with its PEER. */
    bool (*import_connected)(struct s5_engine *e, int fd, const struct s5_endpoint *peer);
    /* All descriptors have been imported. */
    void (*imported)(struct s5_engine *e);

    /* --- a message that carries descriptors, see calls/pass.c --- */
    /* Returns whether RECORD is of this kind, and completes *RET, which has its state, error, server and peer. */
    bool (*describe)(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret);
    /* Imports FD, the socket with COOKIE that P describes. INTERNAL: a copy of the internal descriptor, which this
     * function keeps or closes where the socket is of this kind; -1: it could not be copied. */
    enum s5_received (*receive)(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p, int internal);
};

#define S5_KERNEL_KNOWS 1 /* the program receives the kernel's own answer */

/* All kinds, in the order in which they are tried; the last element is NULL. See calls/kinds.c. */
extern const struct s5_kind *const s5_kinds[];

/* Runs the statement that follows for each kind that has the member OPERATION, with KIND pointing to it. */
#define S5_EACH_KIND(kind, operation)                                                                                  \
    for (const struct s5_kind *const *s5_at = s5_kinds, *kind; (kind = *s5_at); s5_at++)                               \
        if (kind->operation)

#endif
