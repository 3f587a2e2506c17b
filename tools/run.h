/* Running the command in place of socksify. */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include "options.h"
#include "policy.h"
#include <stdbool.h>

/* Replaces this process; returns only when that fails, with the exit code, after saying why.
 * TRUSTED: the environment may be obeyed. Wipes the password of options->url. */
int run(const struct options *options, const struct s5_policy *policy, bool trusted);

#endif
