/* getpeername(), getsockname() and getsockopt(). 0 or -errno. */
#ifndef S5_QUERY_H
#define S5_QUERY_H

#include "engine.h"

/* --- query.c --- */
int s5_getpeername(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len);
int s5_getsockname(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len);
int s5_getsockopt(struct s5_engine *e, int fd, int level, int name, void *value, socklen_t *len);

#endif
