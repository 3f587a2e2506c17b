/* Receiving datagrams through an association. */
#ifndef S5_INCOMING_H
#define S5_INCOMING_H

#include "association.h"

S5_HOT ssize_t s5_incoming_receive(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg,
                                   int flags);
int s5_incoming_recvmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags, struct timespec *timeout);

#endif
