/* Addresses of proxy servers, of DNS servers, and of names whose route is direct, from libc's resolver. */
#ifndef S5_RESOLVE_H
#define S5_RESOLVE_H

#include "engine.h"

/* Prepares SERVER, an entry of the policy, for a connection: its name is resolved, or the bridge in front of it is up.
 * Returns 0, or -errno, logged at LEVEL. */
int s5_resolve_server(struct s5_engine *e, const struct s5_server *server, enum s5_log_level level);

/* Checks whether libc may resolve NODE (for log lines; NULL: an address). Returns 0, or -errno, logged: -EACCES, or the
 * result of a missing policy. Preserves errno. */
int s5_resolve_allowed(struct s5_engine *e, const char *node);

/* Stores in RET the first DNS server of resolv.conf that is not on loopback. Returns 0, or -errno; -ENOENT: there is
 * none. */
int s5_resolve_dns_server(struct s5_engine *e, struct s5_endpoint *ret);

/* Stores in RET the first address of NAME, from libc, that a socket of FAMILY can reach, with the port of NAME. Returns
 * 0, -EHOSTUNREACH: libc cannot resolve NAME; or -EAFNOSUPPORT. */
int s5_resolve_direct(struct s5_engine *e, const struct s5_addr *name, int family, struct s5_endpoint *ret);

#endif
