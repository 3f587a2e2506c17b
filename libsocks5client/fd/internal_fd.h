/* Internal descriptors: those of the engine, which the program does not know. */
#ifndef S5_INTERNAL_FD_H
#define S5_INTERNAL_FD_H

#include "engine.h"

/* Moves FD to a high number and makes it internal. Returns that number; or -errno, and FD is closed. */
int s5_internal_fd_take(struct s5_engine *e, int fd);
/* The same without moving FD, which came through an exec or was moved already. */
int s5_internal_fd_keep(struct s5_engine *e, int fd);
void s5_internal_fd_close(struct s5_engine *e, int fd);
bool s5_internal_fd_is(const struct s5_engine *e, int fd);
/* The program is about to use the number FD: moves the internal descriptor away from it. Preserves errno. */
void s5_internal_fd_move(struct s5_engine *e, int fd);
/* Returns the lowest internal descriptor from FD on, those of the shared memory included; -1: none. */
int s5_internal_fd_from(const struct s5_engine *e, int fd);

#endif
