/* Options of a socket that make the kernel send packets to other hosts than those that the calls name. */
#ifndef S5_PACKET_OPTION_H
#define S5_PACKET_OPTION_H

#include "engine.h"

/* Checks setsockopt() on FD. VALUE, of LEN octets, is the program's. Returns 0: the kernel may have it; or -errno,
 * logged. */
int s5_packet_option_check(struct s5_engine *e, int fd, int level, int name, const void *value, socklen_t len);
/* The same for the control messages of M, a copy of the message that is to be sent on FD. */
int s5_packet_option_check_message(struct s5_engine *e, int fd, const struct msghdr *m);

#endif
