/* Where a policy comes from: command line, SOCKS5_CONF, proxy variables, the user's file, the
 * system's file, in that order; never the current directory. */
#ifndef S5_SOURCE_H
#define S5_SOURCE_H

#include "environment.h"
#include "policy.h"

#define S5_FAULT_MAX 512

/* What is wrong, for a person: "FILE:LINE: WHAT", or "VARIABLE: WHAT". Never holds a secret. */
struct s5_fault {
    char text[S5_FAULT_MAX];
};

struct s5_source {
    const char *file; /* -c, or NULL */
    const char *url;  /* -x, or NULL */
    struct s5_environment env;
};

/* 0, or a negative errno with RET_FAULT filled in; -ENOENT: no configuration at all. Reads files
 * with open/read/fstat, loads libconfuse for files alone. P is undefined on failure. */
int s5_source_load(struct s5_policy *p, const struct s5_source *source, struct s5_fault *ret_fault);

#endif
