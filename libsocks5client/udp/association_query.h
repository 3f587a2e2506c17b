/* What a program asks about a socket with an association. */
#ifndef S5_ASSOCIATION_QUERY_H
#define S5_ASSOCIATION_QUERY_H

#include "association.h"

/* --- associate_query.c --- */
/* Octets of the next datagram, as FIONREAD tells. */
int s5_incoming_next(struct s5_engine *e, struct s5_association *a, int fd);

/* Operations of the kind. */
int s5_association_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len);
int s5_association_getpeername(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len);
int s5_association_getsockopt(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                              socklen_t *len);

#endif
