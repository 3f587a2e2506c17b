/* Sending datagrams through an association. */
#ifndef S5_OUTGOING_H
#define S5_OUTGOING_H

#include "association.h"

S5_HOT ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg,
                                int flags);
int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags);

#endif
