/* The check of a policy that another process wrote. */
#ifndef S5_POLICY_CHECK_H
#define S5_POLICY_CHECK_H

#include "policy.h"

/* Whether P, which another process wrote, can be used: no index and no length exceeds its array. */
bool s5_policy_is_sound(const struct s5_policy *p);

#endif
