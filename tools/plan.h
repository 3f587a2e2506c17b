/* The policy a command is to run under, complete before anything runs. */
#ifndef TOOLS_PLAN_H
#define TOOLS_PLAN_H

#include "options.h"
#include "policy.h"

/* Read the policy OPTIONS and ENVIRON_STRINGS (NULL: to be ignored) lead to and resolve the servers
 * its rules name. 0, or EXIT_OWN_ERROR after saying what is wrong. */
int plan_load(struct s5_policy *ret, const struct options *options, char *const *environ_strings);

/* Cut "USER:PASSWORD@" in URL to "USER@", overwriting what is cut. */
void plan_strip_password(char *url);

#endif
