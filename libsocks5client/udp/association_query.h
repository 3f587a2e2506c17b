/* Queries of a program on a socket with an association. */
#ifndef S5_ASSOCIATION_QUERY_H
#define S5_ASSOCIATION_QUERY_H

#include "association.h"

/* --- association_query.c --- */
/* Octets of the next datagram, as FIONREAD reports them: without the header; 0: none. Datagrams from the relay with an
 * invalid header are dropped. -errno. */
int s5_incoming_next(struct s5_engine *e, struct s5_association *a, int fd);

/* Operations of the kind, see struct s5_kind. */
int s5_association_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len);
int s5_association_getpeername(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len);
int s5_association_getsockopt(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                              socklen_t *len);

#endif
