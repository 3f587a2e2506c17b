/* The setting "isolate" and the variable SOCKS5_ISOLATE. */
#ifndef S5_ISOLATE_H
#define S5_ISOLATE_H

#include "environment.h"
#include "policy.h"
#include "source.h"

/* Moves the isolation that rules of P and ENV set into the entries of the servers. P has been read completely. A rule
 * whose isolation differs from the entry of its server gets an entry with the same name. Isolated servers are offered
 * userpass only: other methods cannot carry the identity. Returns 0, or -EINVAL or -ENOSPC with RET_FAULT set. */
int s5_isolate_resolve(struct s5_policy *p, const struct s5_environment *env, struct s5_fault *ret_fault);

#endif
