/* What a chain has from its servers. */
#ifndef S5_CHAINS_H
#define S5_CHAINS_H

#include "fault.h"
#include "policy.h"

/* Completes the chains of P, whose servers are complete. Returns 0, or -EINVAL with RET_FAULT: a server cannot be in a
 * chain. */
int s5_chains_complete(struct s5_policy *p, struct s5_fault *ret_fault);

#endif
