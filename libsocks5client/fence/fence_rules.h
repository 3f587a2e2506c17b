/* What the rules let the fence leave to the kernel. */
#ifndef S5_FENCE_RULES_H
#define S5_FENCE_RULES_H

#include "filter.h"
#include "policy.h"

/* Sets RET->listen and RET->multicast by the rules of P. NULL: no rules are known, so nothing is left. */
void s5_fence_rules_apply(struct s5_filter_options *ret, const struct s5_policy *p);

#endif
