/* bind(), listen() and shutdown() (0 or -errno), and which sockets listen at a server. */
#ifndef S5_BIND_H
#define S5_BIND_H

#include "engine.h"

/* --- listeners, see listener.h --- */
int s5_bind(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
int s5_listen(struct s5_engine *e, int fd, int backlog);
int s5_shutdown(struct s5_engine *e, int fd, int how);

/* The getsockname operation of s5_listener_kind: the name is the address that the server has bound. */
int s5_bind_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);

/* Whether FD listens in the kernel. */
bool s5_bind_listens(struct s5_engine *e, int fd);

/* FD no longer listens: removes its key, so that it can connect like any socket. Preserves errno. */
void s5_bind_unblock_callers(struct s5_engine *e, int fd);

/* FD may have stopped listening: then its record becomes NAMED, as bind() left it. */
void s5_bind_ended(struct s5_engine *e, int fd);

#endif
