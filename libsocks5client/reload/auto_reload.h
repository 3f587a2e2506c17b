/* "reload = auto": a process tree looks itself whether its configuration file has changed. */
#ifndef S5_AUTO_RELOAD_H
#define S5_AUTO_RELOAD_H

#include "clock.h"
#include "shm.h"
#include "source.h"

#define S5_AUTO_RELOAD_INTERVAL S5_CLOCK_SECOND

/* Returns whether no process of the tree has looked for a while. */
static inline bool s5_auto_reload_is_due(const struct s5_shm *shm)
{
    return atomic_load_explicit(&shm->look_due, memory_order_relaxed) <= s5_clock_coarse();
}

/* Looks, if that is due, whether the file of P, the policy in force, has changed, and puts it in force. A change counts
 * when the file was the same at two looks, as it may still be being written. A file that cannot be opened has not
 * changed. ENV: the environment of the tree. Returns 1: there is a newer policy; 0: there is none; or -errno and
 * RET_FAULT, once for each version of the file: it has a mistake. The caller is in a section of
 * s5_in_engine_begin(). */
int s5_auto_reload(struct s5_shm *shm, int shm_fd, const struct s5_policy *p, const struct s5_environment *env,
                   struct s5_fault *ret_fault);

#endif
