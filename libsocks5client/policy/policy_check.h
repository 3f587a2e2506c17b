/* The check of a policy that another process wrote. */
#ifndef S5_POLICY_CHECK_H
#define S5_POLICY_CHECK_H

#include "policy.h"

/* Whether P, which another process wrote, can be used: no index and no length exceeds its array. */
bool s5_policy_is_sound(const struct s5_policy *p);

/* Copies the used part of each array of FROM, which another process may be writing, to RET. What RET has behind these
 * parts does not change. Returns false if a count is out of bounds; RET is not sound then. */
bool s5_policy_copy(struct s5_policy *ret, const struct s5_policy *from);

#endif
