/* Sending datagrams through an association. */
#ifndef S5_OUTGOING_H
#define S5_OUTGOING_H

#include "association.h"
#include "result.h"

/* Sends MSG on FD, whose association is A: behind its header to the relay, or directly. FLAGS as for sendmsg(). The
 * octets sent, without the header; a datagram that is lost counts as sent; or -errno. S5_RESULT_NO_ASSOCIATION: FD no
 * longer has A. */
S5_HOT ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg,
                                int flags);
/* The same for N MSGS, as sendmmsg(): the number sent, or -errno. */
int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags);

#endif
