/* The policies that replace the first one of a process tree while its programs run.
 *
 * The first policy is generation 0, and the sealed file has it (shm/policy_file.h). Each reload makes the next
 * generation, in the shared memory. There are two places for them, so that the one in force is never written. A process
 * compares the number with that of the policy that it uses whenever it needs the policy. */
#ifndef S5_RELOAD_H
#define S5_RELOAD_H

#include "fault.h"
#include "merge.h"
#include "shm.h"

/* Stores in RET a private mapping of the newest policy of SHM, whose generation is not 0. Returns 0, or -errno.
 * -EBADMSG: what the shared memory has is damaged. -EAGAIN: it changes too often. -ENOENT: generation 0 is in force.
 * The caller unmaps it. RET_GENERATION is set in all cases. */
int s5_reload_fetch(const struct s5_shm *shm, struct s5_policy_file **ret, uint32_t *ret_generation);

/* Returns a private mapping of the policy that is in force in SHM, whatever its generation, or NULL. */
struct s5_policy_file *s5_reload_current(const struct s5_shm *shm, int shm_fd);

/* Only one process at a time may make a new policy. lock: returns false if another process does. */
bool s5_reload_lock(int shm_fd);
void s5_reload_unlock(int shm_fd);

/* Merges NEXT with the policy in force in SHM. Returns a private mapping, which the caller unmaps, or NULL: memory is
 * short, or RET_FAULT, which is empty otherwise, says what is wrong. The caller has the lock. */
struct s5_policy_file *s5_reload_merge(const struct s5_shm *shm, int shm_fd, const struct s5_policy *next,
                                       struct s5_merge *ret_merge, struct s5_fault *ret_fault);

/* Puts P, a merged policy, in force in SHM. MERGE: what s5_merge() found. The caller has the lock. */
void s5_reload_publish(struct s5_shm *shm, const struct s5_policy *p, const struct s5_merge *merge);

#endif
