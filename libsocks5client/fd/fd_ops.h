/* close(), dup(), fcntl() and what an exec inherits. */
#ifndef S5_FD_OPS_H
#define S5_FD_OPS_H

#include "engine.h"

/* --- life.c --- */
int s5_close(struct s5_engine *e, int fd);

/* The same of a call of ours, which may have an entry in the thread's cleanups. */
int s5_close_own(struct s5_engine *e, int fd);
int s5_close_range(struct s5_engine *e, unsigned first, unsigned last, int flags);
void s5_closefrom(struct s5_engine *e, int first);
int s5_dup(struct s5_engine *e, int fd);
int s5_dup3(struct s5_engine *e, int fd, int to, int flags, bool dup2);
int s5_fcntl(struct s5_engine *e, int fd, int command, long arg);
bool s5_fd_is_internal(struct s5_engine *e, int fd);

/* The number FD is free from now on where a hidden descriptor had it. */
void s5_fd_clear_number(struct s5_engine *e, int fd);

/* Before an exec: connections that go through it are written down in the tree. Returns whether
 * there are any. Safe in a vfork child. */
bool s5_fd_export_all(struct s5_engine *e);

/* After one: take up what was handed over. It did not happen: what was made inheritable for it is not. */
void s5_fd_import_all(struct s5_engine *e);
void s5_fd_export_cancel(struct s5_engine *e);

/* The next program inherits the memory file, whatever this one has set for its descriptor. */
void s5_fd_inherit_shm(struct s5_engine *e);

#endif
