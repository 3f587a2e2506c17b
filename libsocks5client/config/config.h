/* Configuration files. */
#ifndef S5_CONFIG_H
#define S5_CONFIG_H

#include "policy.h"
#include "source.h"

/* A file in libconfuse syntax. The only file that names confuse.h is behind it. */
int s5_config_load(struct s5_policy *p, const char *path, const struct s5_environment *env, struct s5_fault *ret_fault);

#endif
