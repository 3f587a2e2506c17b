/* The policy for a command, complete before anything runs. */
#ifndef TOOLS_RESOLVED_POLICY_H
#define TOOLS_RESOLVED_POLICY_H

#include "options.h"
#include "policy.h"
#include "source.h"

/* Reads the policy that OPTIONS and ENVIRON_STRINGS (NULL: ignored) name, and resolves the names of the servers that
 * its rules use. Returns 0, or EXIT_OWN_ERROR after it prints what is wrong. */
int resolved_policy_load(struct s5_policy *ret, const struct options *options, char *const *environ_strings);

/* The first half of resolved_policy_load(): reads the policy. Returns 0, or -errno and the error in RET_FAULT. */
int resolved_policy_read(struct s5_policy *ret, const struct options *options, char *const *environ_strings,
                         struct s5_fault *ret_fault);
/* Resolves the names of the servers that rules use. One that cannot be resolved is an error, unless all its rules have
 * another. Returns 0, or CODE after it prints what is wrong. */
int resolved_policy_resolve_all(struct s5_policy *policy, int code);

/* The second half: resolves server number INDEX, if it is known by a name. Returns 0, or an EAI_* code. */
int resolved_policy_resolve(struct s5_policy *policy, unsigned index);

#endif
