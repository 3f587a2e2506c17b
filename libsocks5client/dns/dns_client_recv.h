/* Receive functions for DNS clients. The source of a reply becomes the DNS server that was queried. */
#ifndef S5_DNS_CLIENT_RECV_H
#define S5_DNS_CLIENT_RECV_H

#include "engine.h"

/* Each handles the libc function of its name on a DNS client FD, with its result or -errno. */
ssize_t s5_dns_client_recvfrom(struct s5_engine *e, int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                               socklen_t *len);
ssize_t s5_dns_client_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags);
int s5_dns_client_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags,
                           struct timespec *timeout);

#endif
