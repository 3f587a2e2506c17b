/* A new policy takes the place of another one while programs run. Negotiations, listeners and associations name their
 * server by its index, so a server that is in both policies keeps its index, and one that is only in the old policy
 * stays in the table, where no rule names it. */
#ifndef S5_MERGE_H
#define S5_MERGE_H

#include "policy.h"

struct s5_merge {
    uint32_t reused;       /* bit I: the server I is another one than before */
    bool keeps_fake_range; /* the ranges of fake addresses differ: those of the old policy remain in force */
};

/* Stores in RET, which is all zeros, the policy that follows CURRENT, with the rules and settings of NEXT. CURRENT is
 * as configured, without the changes that a process makes to its servers. Returns 0, or -ENOSPC: there are too many
 * servers or too much text. */
int s5_merge(struct s5_policy *ret, const struct s5_policy *next, const struct s5_policy *current,
             struct s5_merge *ret_merge);

#endif
