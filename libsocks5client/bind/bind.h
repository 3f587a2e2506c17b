/* bind(), listen() and shutdown(), and which sockets listen at a server. */
#ifndef S5_BIND_H
#define S5_BIND_H

#include "engine.h"

/* --- bind.c, accept.c: listeners, see listener.h --- */
int s5_bind(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
int s5_listen(struct s5_engine *e, int fd, int backlog);
int s5_shutdown(struct s5_engine *e, int fd, int how);

/* An operation of the kind: the name is the one that the server has bound. */
int s5_bind_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);

/* Whether FD listens in the kernel (bind.c). */
bool s5_bind_listens(struct s5_engine *e, int fd);

/* FD, which does not listen any more, can connect as any socket (bind.c). */
void s5_bind_unblock_callers(struct s5_engine *e, int fd);

/* FD may have stopped listening: its record is NAMED then, as bind() left it (bind.c). */
void s5_bind_ended(struct s5_engine *e, int fd);

#endif
