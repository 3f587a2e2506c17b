/* connect(): the socket and the address are classified, and one layer is called. */
#ifndef S5_CONNECT_H
#define S5_CONNECT_H

#include "engine.h"

/* --- connect.c, connect_record.c --- */
int s5_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);

#endif
