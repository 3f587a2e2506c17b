/* The installation of the fence. */
#ifndef S5_FENCE_H
#define S5_FENCE_H

#include "filter.h"
#include "keyed.h"

#define S5_FENCE_THERE 1 /* this process is within a fence already */

/* Installs the filter in this thread, or in ALL threads, and so in all programs that they start. HOW->key is set here.
 * Where the process may not do so otherwise, it gives up the right to gain privileges by exec (PR_SET_NO_NEW_PRIVS).
 * With HOW->listens, *RET_LISTENER is the descriptor that the companion receives reports on; it is closed by exec, and
 * ALL must be false. Returns 0; S5_FENCE_THERE: nothing was installed; or -errno: -ENOSYS (no fence for this machine
 * or kernel), -EBUSY (another filter of this process has a listener already), -EPERM and others as seccomp(). */
int s5_fence_install(struct s5_filter_options *how, bool all, int *ret_listener);

/* Installs the filter of s5_filter_build_families() in this thread. Returns 0, or -errno as s5_fence_install(). */
int s5_fence_install_families(bool refuse_uring);

#endif
