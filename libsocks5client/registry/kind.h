/* What is done with every kind of socket of ours when something happens to all of them: a table of operations each,
 * in the file that knows the kind. Whoever forks, execs or closes walks the tables; a new kind is a new table.
 *
 * An operation that a kind does not need is NULL. */
#ifndef S5_KIND_H
#define S5_KIND_H

#include "negotiation.h"
#include "record.h"

struct s5_engine;
struct s5_passed;

/* What became of a socket that was received, and of the hidden descriptor that goes with it. */
enum s5_received {
    S5_RECEIVED_NOT,    /* it is of another kind */
    S5_RECEIVED,        /* there is no such descriptor, or nothing came of the socket */
    S5_RECEIVED_TAKEN,  /* it is this process's own */
    S5_RECEIVED_SHARED, /* the socket goes on with its sender's */
};

struct s5_kind {
    /* --- the end of a descriptor --- */
    /* One of RECORD's names is about to go. */
    void (*close)(struct s5_engine *e, struct s5_record *record);
    /* RECORD has no name any more and nobody is at it: what the kind keeps for it is given back. */
    void (*end)(struct s5_engine *e, struct s5_record *record);
    /* A hidden descriptor: the program wants the number FD for itself. */
    void (*move)(struct s5_engine *e, int fd);

    /* --- what a program asks of FD, which RECORD stands for: 0, -errno or S5_KERNEL_KNOWS --- */
    int (*getpeername)(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getsockname)(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);
    int (*getsockopt)(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                      socklen_t *len);

    /* --- a negotiation of a hidden connection --- */
    /* RECORD's negotiation F has ended; READY: well. */
    void (*complete)(struct s5_engine *e, struct s5_record *record, const struct s5_negotiation *f, bool ready);

    /* --- a fork, see s5_engine_fork_prepare() --- */
    /* References are taken for the child that will have NUMBER: how many. */
    uint32_t (*fork)(struct s5_engine *e, uint32_t number);
    /* In the child: how many of them are its own. */
    uint32_t (*fork_child)(struct s5_engine *e, uint32_t number);
    /* The others are given back. */
    void (*no_child)(struct s5_engine *e, uint32_t number);

    /* --- an exec, see s5_fd_export_all() --- */
    /* What goes through it is written down. Whether there is any. Safe in a child of vfork. */
    bool (*export)(struct s5_engine *e);
    /* The exec has failed. */
    void (*export_cancel)(struct s5_engine *e);
    /* The new program: whether FD, a socket with COOKIE, is of this kind, and is known now. */
    bool (*import)(struct s5_engine *e, int fd, uint64_t cookie);
    /* The same for FD, a connection that was handed over with its PEER. */
    bool (*import_connected)(struct s5_engine *e, int fd, const struct s5_endpoint *peer);
    /* All descriptors have been looked at. */
    void (*imported)(struct s5_engine *e);

    /* --- a message that carries descriptors, see calls/pass.c --- */
    /* Whether RECORD is of this kind: RET, which has its state, error, server and peer, tells the rest. */
    bool (*describe)(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret);
    /* FD, the socket with COOKIE that P tells of, is known now. INTERNAL: a copy of the hidden descriptor, this
     * function's to keep or close where it is of this kind; -1: it cannot be had. */
    enum s5_received (*receive)(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p, int internal);
};

#define S5_KERNEL_KNOWS 1 /* its own answer is the program's */

/* In the order in which they are asked; the last one is NULL. (kinds.c) */
extern const struct s5_kind *const s5_kinds[];

/* Carries OPERATION, a member, out for each kind that has it; KIND names it in what follows. */
#define S5_EACH_KIND(kind, operation)                                                                                  \
    for (const struct s5_kind *const *s5_at = s5_kinds, *kind; (kind = *s5_at); s5_at++)                               \
        if (kind->operation)

#endif
