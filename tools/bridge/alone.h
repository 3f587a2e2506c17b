/* What the bridge serves, and whom. */
#ifndef BRIDGE_ALONE_H
#define BRIDGE_ALONE_H

#include "arguments.h"
#include "front.h"
#include "policy.h"

/* The policy of OPTIONS and the environment, its servers' names resolved, and who is let in. 0, or
 * 125 after having said what is wrong. */
int alone_load(struct s5_policy *ret, struct front_users *ret_users, const struct arguments *options);

/* The addresses of P's servers that are names. 0, or 125 after having said which are none. */
int alone_resolve(struct s5_policy *p);

#endif
