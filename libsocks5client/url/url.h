/* Server URLs. */
#ifndef S5_URL_H
#define S5_URL_H

#include "environment.h"
#include "fault.h"
#include "policy.h"

/* Loads socks5[h]://[user[:password]@]host[:port] into P. User and password are percent-encoded. The host is a name,
 * an IPv4 address, [IPv6], or localhost/path.sock for a UNIX socket. host[:port] without a scheme means socks5h://.
 * Adds the server, the rules for NO_PROXY (where ENV has it), and a rule that routes everything else through the
 * server. The text of a fault begins with WHERE. Returns 0, or a negative errno with RET_FAULT set. */
int s5_url_load(struct s5_policy *p, const char *url, const char *where, const struct s5_environment *env,
                struct s5_fault *ret_fault);

/* The same for several URLs, 1 to S5_POLICY_SERVERS and a NULL: one rule with a server for each. If there are several,
 * they are called HOST:PORT. */
int s5_url_load_list(struct s5_policy *p, const char *const *urls, const char *where, const struct s5_environment *env,
                     struct s5_fault *ret_fault);

#endif
