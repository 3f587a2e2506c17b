/* The network namespaces of the tree that tools/reach has made. Nothing leaves them but through their gateways. */
#ifndef TOOLS_MEMBERS_H
#define TOOLS_MEMBERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Adds the network namespace of TASK, which has just made it. Returns 0, or -errno: -EINVAL: it is the one outside. */
int members_add(pid_t task);

/* Whether TASK is in one of them. */
bool members_has(pid_t task);

#endif
