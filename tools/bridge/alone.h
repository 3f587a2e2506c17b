/* The configuration of a stand-alone bridge: its policy, and the clients that it accepts. */
#ifndef BRIDGE_ALONE_H
#define BRIDGE_ALONE_H

#include "arguments.h"
#include "front.h"
#include "policy.h"

/* Loads the policy that OPTIONS and the environment name into RET, resolves the names of its servers, and stores the
 * accepted clients in RET_USERS. Returns 0, or 125 after it prints what is wrong. */
int alone_load(struct s5_policy *ret, struct front_users *ret_users, const struct arguments *options);

/* Loads the policy again, as alone_load() does. Returns 0, or 125 after it logs what is wrong. */
int alone_reload(struct s5_policy *ret, const struct arguments *options);

/* Resolves the names of P's servers. Servers that have addresses already, and servers behind a UNIX socket, are
 * skipped. Returns 0, or 125 after it prints each name that cannot be resolved. */
int alone_resolve(struct s5_policy *p);

#endif
