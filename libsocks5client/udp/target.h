/* Where a datagram goes, and from where one comes; what is remembered of that. */
#ifndef S5_TARGET_H
#define S5_TARGET_H

#include "association.h"
#include <string.h>

/* The address SA names, of the two families that leave the machine: AF_UNSPEC is IPv4 to the kernel's UDP. */
bool s5_target_address(const struct sockaddr *sa, socklen_t len, struct s5_addr *ret);
bool s5_target_endpoint(const struct s5_addr *addr, int family, struct s5_endpoint *ret); /* false: none */
/* 0 direct, > 0 via *RET_SERVER (0.0.0.0 became 127.0.0.1), or -errno, logged; NAMED: TO became a name. */
int s5_target_route(struct s5_engine *e, struct s5_addr *to, const struct s5_server **ret_server, bool *ret_named);
/* What is remembered of A, in one thread's hands; false: not to be had, go without. */
bool s5_target_lock(struct s5_association *a);
void s5_target_unlock(struct s5_association *a);
/* All of it is forgotten. */
void s5_target_forget(struct s5_association *a);
/* In a child: threads it does not have may have held that. */
void s5_target_fork_child(struct s5_association *a);
/* What datagrams of A to SA begin with. 0, or -errno. */
int s5_target_heading(struct s5_engine *e, struct s5_association *a, const struct sockaddr *sa, socklen_t len,
                      struct s5_heading *ret);
/* The same into S5_UDP_HEADER_MAX OCTETS: its length; 0: not remembered, or direct. */
S5_HOT size_t s5_target_recall(struct s5_association *a, const struct sockaddr *sa, socklen_t len, uint8_t *octets);
/* Whom the application is told FROM is. False: nothing to be told, or not its peer. */
bool s5_target_source(struct s5_engine *e, struct s5_association *a, const struct s5_addr *from,
                      struct s5_endpoint *ret);
/* The same by LEN octets of HEADER, where those to a remembered destination are equal. */
S5_HOT bool s5_target_heard(struct s5_association *a, const uint8_t *header, size_t len, struct s5_endpoint *ret);

/* Whether A and B are one address and port, of any scope. */
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
