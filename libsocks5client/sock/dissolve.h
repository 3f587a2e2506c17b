/* A socket that is connected becomes one that is not. */
#ifndef S5_DISSOLVE_H
#define S5_DISSOLVE_H

#include "engine.h"

/* The port FD has by a bind() that left it to the kernel goes with the connection: it is bound to
 * again. 0; -errno: FD is connected still, or has lost its port. */
int s5_dissolve_keeping_port(struct s5_engine *e, int fd);

/* FD's own address; len 0: it has none we know. */
void s5_dissolve_name(struct s5_engine *e, int fd, struct s5_endpoint *ret);

#endif
