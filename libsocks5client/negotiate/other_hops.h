/* Continues a negotiation through other hops of its chain, on the same socket, if a hop is the cause of a failure. */
#ifndef S5_OTHER_HOPS_H
#define S5_OTHER_HOPS_H

#include "engine.h"

/* F failed with *ERROR. Under its lock. True: F is in flight through other hops. False: it fails, and the hop that is
 * the cause is logged. */
bool s5_other_hops_try(struct s5_engine *e, struct s5_negotiation *f, int fd, int *error)
    __attribute__((noinline, cold));

#endif
