/* Log lines of a process that is outside of a tree and holds none of its outputs: they go where the tree's lines go. */
#ifndef TOOLS_TREE_LOG_H
#define TOOLS_TREE_LOG_H

#include "policy.h"
#include <stdbool.h>
#include <sys/types.h>

/* Remembers where the lines of the tree go, by the policy (NULL: to standard error) and by the file DEV, INO that its
 * standard error is; INO 0: there is none. */
void tree_log_begin(const struct s5_policy *policy, uint64_t dev, uint64_t ino);

/* Writes LINE, LEN octets with the newline, with the descriptors that TASK has. Returns false if it is lost. */
bool tree_log_write(pid_t task, const char *line, size_t len);

/* Returns a descriptor of standard error as it was at the start, if TASK has it; else -1. The caller closes it. */
int tree_log_stderr(pid_t task);

#endif
