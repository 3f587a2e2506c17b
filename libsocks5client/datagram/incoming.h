/* Receiving datagrams through an association. */
#ifndef S5_INCOMING_H
#define S5_INCOMING_H

#include "association.h"
#include "result.h"

/* Receives a datagram of FD, whose association is A, into MSG: without its header, and with the source that the
 * application sees. FLAGS as for recvmsg(), MSG_ERRQUEUE included. The result of recvmsg(), or -errno;
 * S5_RESULT_NO_ASSOCIATION: FD no longer has A. */
S5_HOT ssize_t s5_incoming_receive(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg,
                                   int flags);
/* The same for N MSGS, as recvmmsg(): the number received, or -errno. */
int s5_incoming_recvmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags, struct timespec *timeout);

#endif
