/* URLs of servers. */
#ifndef S5_URL_H
#define S5_URL_H

#include "policy.h"
#include "source.h"

/* socks5[h]://[user[:password]@]host[:port], percent-encoded user and password, host a name, IPv4,
 * [IPv6] or localhost/path.sock for a UNIX socket; a bare host[:port] counts as socks5h://. WHERE
 * names the origin in faults. Adds the server, the NO_PROXY rule (when not NULL), and the rule
 * that leads everything else there. */
int s5_url_load(struct s5_policy *p, const char *url, const char *where, const struct s5_environment *env,
                struct s5_fault *ret_fault);

#endif
