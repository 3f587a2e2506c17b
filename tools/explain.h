/* --explain: what would happen to a connection. */
#ifndef TOOLS_EXPLAIN_H
#define TOOLS_EXPLAIN_H

#include "policy.h"

/* Returns how the servers of RULE, which has several, are ordered: "in this order", "in turn". Static storage. */
const char *explain_order(const struct s5_rule *rule);

/* Prints the rule, the verdict and the server for a TCP connection to TARGET, "HOST:PORT". Returns the exit code: 0 if
 * it is allowed, 1 if it is denied, EXIT_OWN_ERROR for a TARGET that is not valid or cannot be resolved. */
int explain(const struct s5_policy *policy, const char *target);

#endif
