/* What a blocking call of the program's holds while it waits: the negotiation, a duplicate of the socket, the
 * association it opens or renews. It is noted in the thread's cleanups, so that all of it is given back also
 * when the call ends by siglongjmp(), pthread_cancel() or pthread_exit(). */
#ifndef S5_BLOCKING_H
#define S5_BLOCKING_H

#include "cleanup.h"
#include "engine.h"
#include "pool.h"

/* --- blocking.c --- */
/* A call has begun, or goes on in the child of a fork: RUN of its entry. */
s5_cleanup_fn s5_blocking_release;

/* CALL holds F, by one reference; or by two, of which one is for a record that there is not yet: where it has no
 * object, that one's generation says so. */
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
/* The second one is not CALL's any more. */
static inline void s5_blocking_gave_one(struct s5_cleanup *call)
{
    call->object_generation = 0;
}

/* The socket of FD, of COOKIE, for a call that blocks: as the kernel holds the file, so that the call comes to
 * its end whatever other threads do with the number meanwhile. It is FD itself where there are no other threads,
 * or no descriptor is left. Preserves errno. */
int s5_blocking_duplicate(struct s5_engine *e, struct s5_cleanup *call, int fd);
static inline int s5_blocking_hold(struct s5_engine *e, struct s5_cleanup *call, int fd, uint64_t cookie)
{
    call->cookie[0] = cookie;
    return S5_SINGLE_THREADED ? fd : s5_blocking_duplicate(e, call, fd);
}
/* HELD is of no use any more, where it is not FD itself: to be called while CALL notes it, since a thread may be
 * cancelled in close(). Preserves errno. */
void s5_blocking_close(struct s5_engine *e, int held);
static inline void s5_blocking_close_held(struct s5_engine *e, int fd, int held)
{
    if (held != fd)
        s5_blocking_close(e, held);
}

/* A fresh socket of the engine's own, which CALL holds; -errno. */
int s5_blocking_socket(struct s5_engine *e, struct s5_cleanup *call, int family, int type);

/* CALL, of TICKET, has ended; HELD as above. Whether its flight is the caller's to release still. */
static inline bool s5_blocking_end(struct s5_engine *e, struct s5_cleanup *call, uint32_t ticket, int fd, int held)
{
    if (__builtin_expect(!s5_cleanup_owns(call, ticket), 0))
        return false;
    s5_blocking_close_held(e, fd, held);
    return s5_cleanup_pop(call, ticket);
}

#endif
