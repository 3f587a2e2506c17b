/* SO_RCVLOWAT of a socket whose connection is being negotiated. A socket becomes readable only when that many octets
 * have arrived, and a server's reply may be shorter. The value is therefore 1 until the negotiation ends. The program
 * reads and sets its own value throughout. */
#ifndef S5_RCVLOWAT_H
#define S5_RCVLOWAT_H

#include "engine.h"

/* Whether any program that shares the state has ever set the option. The kernel is asked for a socket's value only
 * then. */
static inline bool s5_rcvlowat_used(const struct s5_engine *e)
{
    return atomic_load_explicit(&atomic_load_explicit(&e->shm, memory_order_relaxed)->rcvlowat_used,
                                memory_order_relaxed);
}
/* Saves the program's value of FD's socket, over which F is negotiated, and sets it to 1. Preserves errno. */
void s5_rcvlowat_override(struct s5_engine *e, struct s5_negotiation *f, int fd);
/* Restores the program's value on the socket. Under the lock of F. */
void s5_rcvlowat_restore(struct s5_engine *e, struct s5_negotiation *f, int fd);

#endif
