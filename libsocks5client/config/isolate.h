/* The settings "isolate" and SOCKS5_ISOLATE. */
#ifndef S5_ISOLATE_H
#define S5_ISOLATE_H

#include "environment.h"
#include "policy.h"
#include "source.h"

/* P is read: what rules and the environment say of isolation comes into servers. A rule that differs
 * from its server's own entry gets an entry of its own for it, under the same name. An isolated
 * server is offered userpass alone: by another method it would not be told. 0, or -EINVAL, -ENOSPC. */
int s5_isolate_resolve(struct s5_policy *p, const struct s5_environment *env, struct s5_fault *ret_fault);

#endif
