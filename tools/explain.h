/* --explain: what would become of a connection. */
#ifndef TOOLS_EXPLAIN_H
#define TOOLS_EXPLAIN_H

#include "policy.h"

/* Print the rule, the verdict and the server for a TCP connection to TARGET, "HOST:PORT". Returns
 * the exit code: 0 it may go, 1 denied, EXIT_OWN_ERROR for a bad TARGET. */
int explain(const struct s5_policy *policy, const char *target);

#endif
