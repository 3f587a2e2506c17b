/* Destinations and sources of datagrams, and the cache of destinations. */
#ifndef S5_TARGET_H
#define S5_TARGET_H

#include "association.h"
#include <string.h>

/* The address in SA, of LEN octets, into *RET. False: it has none of IPv4 or IPv6, the families that leave the machine.
 * AF_UNSPEC is IPv4, as in the kernel's UDP. */
bool s5_target_address(const struct sockaddr *sa, socklen_t len, struct s5_addr *ret);
/* Finds the way to TO: 0: direct; > 0: through *RET_SERVER; -errno, logged. *RET_NAMED: TO was a fake address and is
 * now its name. Through a server 0.0.0.0 becomes 127.0.0.1. */
int s5_target_route(struct s5_engine *e, struct s5_addr *to, const struct s5_server **ret_server, bool *ret_named);
/* Takes the lock of A's cache. False: it is taken; the caller does without the cache. */
bool s5_target_lock(struct s5_association *a);
void s5_target_unlock(struct s5_association *a);
/* Clears the cache of A, and its queues of fragments. */
void s5_target_forget(struct s5_association *a);
/* In the child of a fork: releases the lock of a thread that the child does not have. */
void s5_target_fork_child(struct s5_association *a);
/* What datagrams of A to SA begin with, into *RET. 0 or -errno. */
int s5_target_heading(struct s5_engine *e, struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                      struct s5_heading *ret);
/* The same from the cache, into OCTETS of S5_UDP_HEADER_MAX octets. The length; 0: not cached, or direct. */
S5_HOT size_t s5_target_recall(struct s5_association *a, const struct sockaddr *sa, socklen_t len, uint8_t *octets);
/* The source that the application sees for FROM, which the relay reported. False: there is none, or it is not A's
 * peer. */
bool s5_target_source(struct s5_engine *e, struct s5_association *a, const struct s5_addr *from,
                      struct s5_endpoint *ret);
/* The same for the LEN octets of HEADER, where the header of a cached destination is equal. */
S5_HOT bool s5_target_heard(struct s5_association *a, const uint8_t *header, size_t len, struct s5_endpoint *ret);

/* Whether A and B have the same address and port, in any scope. */
static inline bool s5_target_same_end(const struct s5_endpoint *a, const struct s5_endpoint *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return memcmp(&a->v4, &b->v4, 8) == 0;
    return a->v6.sin6_port == b->v6.sin6_port &&
           memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

#endif
