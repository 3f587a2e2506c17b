/* The sources of a policy, in this order: command line, SOCKS5_CONF, proxy variables, the file of the user, the file of
 * the system. The current directory is never read. */
#ifndef S5_SOURCE_H
#define S5_SOURCE_H

#include "environment.h"
#include "fault.h"
#include "policy.h"

struct s5_source {
    const char *file;        /* the file of option -c, or NULL */
    const char *const *urls; /* the URLs of options -x, at most S5_POLICY_SERVERS, and a NULL; or NULL */
    struct s5_environment env;
};

/* Returns a number that changes with the content of the file PATH: a hash of its inode, size and time of change. 0: it
 * cannot be opened. */
uint64_t s5_source_version(const char *path);

/* Loads the policy P from SOURCE. Returns 0, or a negative errno with RET_FAULT set; -ENOENT: there is no
 * configuration. P is undefined on failure. Files are read with open(), read() and fstat(). libconfuse is loaded only
 * to parse a file. */
int s5_source_load(struct s5_policy *p, const struct s5_source *source, struct s5_fault *ret_fault);

#endif
