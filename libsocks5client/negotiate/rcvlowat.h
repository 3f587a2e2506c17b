/* SO_RCVLOWAT of a socket whose connection is being negotiated. A socket is not ready to be read before
 * that many octets are there, and a server's answer may be shorter: so it is 1 until the negotiation ends.
 * The program sees, and sets, its own value all the time. */
#ifndef S5_RCVLOWAT_H
#define S5_RCVLOWAT_H

#include "engine.h"

/* The program's value of FD's socket, which F negotiates on, is put aside. Asks the kernel only where some
 * program of the tree has ever set the option. */
static inline bool s5_rcvlowat_used(const struct s5_engine *e)
{
    return atomic_load_explicit(&atomic_load_explicit(&e->shm, memory_order_relaxed)->rcvlowat_used,
                                memory_order_relaxed);
}
void s5_rcvlowat_override(struct s5_engine *e, struct s5_negotiation *f, int fd);
/* The program's value is the socket's again. Under the lock of F. */
void s5_rcvlowat_restore(struct s5_engine *e, struct s5_negotiation *f, int fd);

#endif
