/* Runs the command in place of socksify. */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include "options.h"
#include "policy.h"
#include <stdbool.h>

/* Replaces this process by the command and returns only if that fails, with the exit code, after it prints the reason.
 * With --summary it runs the command as a child and returns its exit code. TRUSTED: the environment may be used.
 * Overwrites the password of options->url. */
int run(const struct options *options, const struct s5_policy *policy, bool trusted);

#endif
