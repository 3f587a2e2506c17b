/* Configuration files: the parser. */
#ifndef S5_CONFIG_H
#define S5_CONFIG_H

#include "policy.h"
#include "source.h"

/* Reads the configuration file PATH (libconfuse syntax) into P, which s5_policy_init() has initialized. ENV supplies
 * defaults. Returns 0, or a negative errno with RET_FAULT set. */
int s5_config_load(struct s5_policy *p, const char *path, const struct s5_environment *env, struct s5_fault *ret_fault);

#endif
