/* Disconnects a connected socket. */
#ifndef S5_DISCONNECT_H
#define S5_DISCONNECT_H

#include "engine.h"

/* Disconnects FD. A port that the kernel chose for a bind() is released with the connection, so FD is bound to it
 * again. 0; -errno: FD is still connected, or it no longer has its port. */
int s5_disconnect_keeping_port(struct s5_engine *e, int fd);

/* Stores FD's own address in *RET; len 0: it is unknown. */
void s5_disconnect_own_address(struct s5_engine *e, int fd, struct s5_endpoint *ret);

/* Lets the datagram socket FD, which was restricted to IPv6, also send to IPv4-mapped addresses. The kernel refuses
 * this change for a bound socket. A port that the kernel chose is therefore released for the change and bound again. A
 * port that the program chose is kept, and the option with it. 0 or -errno. Preserves errno. */
int s5_disconnect_accept_mapped(struct s5_engine *e, int fd);

#endif
