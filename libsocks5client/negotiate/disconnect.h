/* A socket that is connected becomes one that is not. */
#ifndef S5_DISCONNECT_H
#define S5_DISCONNECT_H

#include "engine.h"

/* The port FD has by a bind() that left it to the kernel goes with the connection: it is bound to
 * again. 0; -errno: FD is connected still, or has lost its port. */
int s5_disconnect_keeping_port(struct s5_engine *e, int fd);

/* FD's own address; len 0: it has none we know. */
void s5_disconnect_own_address(struct s5_engine *e, int fd, struct s5_endpoint *ret);

/* The datagram socket FD, for IPv6 alone until now, sends to mapped addresses of IPv4 too. The kernel
 * changes that of no socket that is bound: a port of the kernel's choice is given back for the change and
 * bound again. One that the program chose stays, and the option with it. 0 or -errno. */
int s5_disconnect_accept_mapped(struct s5_engine *e, int fd);

#endif
