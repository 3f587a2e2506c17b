/* A process whose user or group IDs change may read the shared state, but must not write what processes with other
 * rights act on. */
#ifndef S5_LEAVE_H
#define S5_LEAVE_H

#include "engine.h"

/* To be called when the process has attached to shared memory. Where it does not have the rights of the user that made
 * the memory, it replaces the memory by a copy of its own, which its children share. Does nothing in a child of vfork.
 * Preserves errno. */
void s5_leave_if_foreign(struct s5_engine *e);

/* To be called before and after a change of IDs. s5_leave_after() does the same where the IDs have CHANGED. Both
 * preserve errno. */
void s5_leave_before(struct s5_engine *e);
void s5_leave_after(struct s5_engine *e, bool changed);
/* To be called in the child of a fork: another thread of the parent may have been between the two calls. */
void s5_leave_fork_child(struct s5_engine *e);

#endif
