/* Detects octets of the program among those of a negotiation. */
#ifndef S5_WRITTEN_H
#define S5_WRITTEN_H

#include "engine.h"

/* Whether there are any among those that F wrote on FD; logs an error. WAITING: octets that the server has not
 * acknowledged count as well. */
bool s5_written_spoilt(struct s5_engine *e, const struct s5_negotiation *f, int fd, bool waiting)
    __attribute__((noinline, cold));

#endif
