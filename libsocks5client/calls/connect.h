/* connect(): classifies the socket and the address, and calls one layer. 0 or -errno. */
#ifndef S5_CONNECT_H
#define S5_CONNECT_H

#include "engine.h"

/* --- connect.c --- */
int s5_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);

#endif
