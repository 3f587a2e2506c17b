/* Options of a socket that make the kernel send packets to other hosts than those that the calls name. */
#ifndef S5_PACKET_OPTION_H
#define S5_PACKET_OPTION_H

#include "engine.h"

/* Checks setsockopt() on FD. VALUE, of LEN octets, is the program's. Returns 0: the kernel may have it; or -errno,
 * logged. */
int s5_packet_option_check(struct s5_engine *e, int fd, int level, int name, const void *value, socklen_t len);

#endif
