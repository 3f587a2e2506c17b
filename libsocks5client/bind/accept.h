/* accept() on a listener at a server. */
#ifndef S5_ACCEPT_H
#define S5_ACCEPT_H

#include "engine.h"

/* accept4() with FLAGS, on any FD. Returns the descriptor of a connection, or -errno. */
int s5_accept(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len, int flags);

#endif
