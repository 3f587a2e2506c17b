/* close(), dup(), fcntl() and what an exec inherits. */
#ifndef S5_FD_OPS_H
#define S5_FD_OPS_H

#include "engine.h"

/* These run the libc call of their name for a descriptor that may have a record, and return its result or -errno. An
 * internal descriptor is not closed (-EBADF) or is closed around. s5_dup3() is dup2() with DUP2, and dup3()
 * otherwise. */
int s5_close(struct s5_engine *e, int fd);

/* close() for calls of the engine, which may have an entry in the thread's cleanups. */
int s5_close_own(struct s5_engine *e, int fd);
int s5_close_range(struct s5_engine *e, unsigned first, unsigned last, int flags);
void s5_closefrom(struct s5_engine *e, int first);
int s5_dup(struct s5_engine *e, int fd);
int s5_dup3(struct s5_engine *e, int fd, int to, int flags, bool dup2);
int s5_fcntl(struct s5_engine *e, int fd, int command, long arg);
bool s5_fd_is_internal(struct s5_engine *e, int fd);

/* Frees the number FD where it is that of an internal descriptor, which is moved. Preserves errno. */
void s5_fd_clear_number(struct s5_engine *e, int fd);

/* To be called before an exec: exports the connections that go through it to shared memory. Returns whether there are
 * any. Safe in a vfork child. */
bool s5_fd_export_all(struct s5_engine *e);

/* s5_fd_import_all() imports after an exec what was exported. s5_fd_export_cancel() is for an exec that failed: what
 * was made inheritable for it becomes close-on-exec again. */
void s5_fd_import_all(struct s5_engine *e);
void s5_fd_export_cancel(struct s5_engine *e);

/* Makes the next program inherit the shared memory, whatever this one has set for its descriptors. Preserves errno. */
void s5_fd_inherit_shm(struct s5_engine *e);

#endif
