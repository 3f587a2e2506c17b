/* The policy a command is to run under, complete before anything runs. */
#ifndef TOOLS_PLAN_H
#define TOOLS_PLAN_H

#include "options.h"
#include "policy.h"
#include "source.h"

/* Read the policy OPTIONS and ENVIRON_STRINGS (NULL: to be ignored) lead to and resolve the servers
 * its rules name. 0, or EXIT_OWN_ERROR after saying what is wrong. */
int plan_load(struct s5_policy *ret, const struct options *options, char *const *environ_strings);

/* The first half of it: the policy alone. 0, or -errno and RET_FAULT. */
int plan_read(struct s5_policy *ret, const struct options *options, char *const *environ_strings,
              struct s5_fault *ret_fault);

/* Whether a rule leads to server number SERVER. */
bool plan_is_used(const struct s5_policy *policy, unsigned server);

/* The second: the addresses of server number INDEX, where it is known by a name. 0 or an EAI_*. */
int plan_resolve(struct s5_policy *policy, unsigned index);

/* Cut "USER:PASSWORD@" in URL to "USER@", overwriting what is cut. */
void plan_strip_password(char *url);

#endif
