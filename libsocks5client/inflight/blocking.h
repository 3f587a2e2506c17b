/* What a blocking call of the program holds while it waits: the negotiation, a duplicate of the socket, and the
 * association that it opens or renews. It is recorded in the thread's cleanups, so that all of it is released also
 * when the call ends by siglongjmp(), pthread_cancel() or pthread_exit(). */
#ifndef S5_BLOCKING_H
#define S5_BLOCKING_H

#include "cleanup.h"
#include "engine.h"
#include "pool.h"

/* --- blocking.c --- */
/* RUN of a call's cleanup entry: releases what the entry holds or, in the child of a fork, takes references for it. */
s5_cleanup_fn s5_blocking_release;

/* Records that CALL holds F: by one reference, or by two, of which one is for a record that does not exist yet. While
 * CALL has no object, its object_generation is 1 if there are two. */
static inline void s5_blocking_holds_one(struct s5_cleanup *call, struct s5_negotiation *f)
{
    if (!call->object)
        call->object_generation = 0;
    call->negotiation_generation = s5_negotiation_generation(f);
    call->negotiation = f;
}
static inline void s5_blocking_holds_two(struct s5_cleanup *call, struct s5_negotiation *f)
{
    call->object_generation = 1;
    call->negotiation_generation = s5_negotiation_generation(f);
    call->negotiation = f;
}
/* CALL no longer holds the second reference. */
static inline void s5_blocking_gave_one(struct s5_cleanup *call)
{
    call->object_generation = 0;
}

/* Returns a descriptor of FD's socket for a call that blocks; COOKIE is the socket's. It holds the file as the kernel
 * does during a call, so that the call completes whatever other threads do with the number meanwhile. It is FD itself
 * if there are no other threads, or if no descriptor is left. Preserves errno. */
int s5_blocking_duplicate(struct s5_engine *e, struct s5_cleanup *call, int fd);
static inline int s5_blocking_hold(struct s5_engine *e, struct s5_cleanup *call, int fd, uint64_t cookie)
{
    call->cookie[0] = cookie;
    return S5_SINGLE_THREADED ? fd : s5_blocking_duplicate(e, call, fd);
}
/* Closes HELD, which is no longer needed, unless it is FD itself. To be called while CALL records it, since a thread
 * may be cancelled in close(). Preserves errno. */
void s5_blocking_close(struct s5_engine *e, int held);
static inline void s5_blocking_close_held(struct s5_engine *e, int fd, int held)
{
    if (held != fd)
        s5_blocking_close(e, held);
}

/* Creates a socket of the engine, which CALL holds. Returns its descriptor, or -errno. */
int s5_blocking_socket(struct s5_engine *e, struct s5_cleanup *call, int family, int type);

/* Ends CALL, of TICKET, and closes HELD as above. Returns whether its negotiation is still the caller's to release. */
static inline bool s5_blocking_end(struct s5_engine *e, struct s5_cleanup *call, uint32_t ticket, int fd, int held)
{
    if (__builtin_expect(!s5_cleanup_owns(call, ticket), 0))
        return false;
    s5_blocking_close_held(e, fd, held);
    return s5_cleanup_pop(call, ticket);
}

#endif
