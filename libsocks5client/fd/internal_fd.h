/* Descriptors of the engine's own, which the program does not know of. */
#ifndef S5_INTERNAL_FD_H
#define S5_INTERNAL_FD_H

#include "engine.h"

/* FD, moved to a high number and taken out of the program's reach; -errno and FD closed. */
int s5_internal_fd_take(struct s5_engine *e, int fd);
/* The same without moving it: it came through an exec, or was moved, as the number it is. */
int s5_internal_fd_keep(struct s5_engine *e, int fd);
void s5_internal_fd_close(struct s5_engine *e, int fd);
bool s5_internal_fd_is(const struct s5_engine *e, int fd);
/* The program wants the number FD for itself. */
void s5_internal_fd_move(struct s5_engine *e, int fd);
/* The lowest hidden one from FD on; -1: none. */
int s5_internal_fd_from(const struct s5_engine *e, int fd);

#endif
