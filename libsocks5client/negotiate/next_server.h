/* Continues a negotiation with the next server of the rule, or through other hops of a chain, on the same socket, if
 * the server is the cause of a failure. */
#ifndef S5_NEXT_SERVER_H
#define S5_NEXT_SERVER_H

#include "engine.h"

/* Returns true if F may continue with something else. */
static inline bool s5_next_server_may_help(const struct s5_negotiation *f)
{
    return f->choice.rule || f->chain.n;
}

/* The negotiation F failed with *ERROR (negative errno; 0: the kernel has it). Under the lock of F. True: F is in
 * flight with the next server. False: it fails with *ERROR, which is no longer 0 if the kernel's error was fetched. */
bool s5_next_server_try(struct s5_engine *e, struct s5_negotiation *f, int fd, int *error)
    __attribute__((noinline, cold));

/* Returns true if F failed before the server accepted the user: it was not reached, or refuses. */
bool s5_next_server_is_needed(const struct s5_negotiation *f);

/* The time of the server has passed at NOW (ns). Returns true if it may take longer, since it awaits the target. */
bool s5_next_server_extend(struct s5_negotiation *f, uint64_t now) __attribute__((noinline, cold));

/* connect() to the first server failed at once with ERROR. Takes the lock of F. True: F is in flight with another
 * server of the rule. */
bool s5_next_server_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, int error)
    __attribute__((noinline, cold));

#endif
