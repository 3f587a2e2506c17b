/* A process whose user or group IDs change: it may read what its tree knows, and must not write what processes
 * with other rights act on. */
#ifndef S5_LEAVE_H
#define S5_LEAVE_H

#include "engine.h"

/* To be called when the memory file was found: where the process has not the rights of whoever made it, it leaves the
 * tree for a copy of its own, which its children share. Nothing happens in a child of vfork. Preserves errno. */
void s5_leave_if_foreign(struct s5_engine *e);

/* Around a change of IDs, the latter with whether they CHANGED: the same. Preserve errno. */
void s5_leave_before(struct s5_engine *e);
void s5_leave_after(struct s5_engine *e, bool changed);
/* After a fork, in the child: another thread of the parent's may have been between the two. */
void s5_leave_fork_child(struct s5_engine *e);

#endif
