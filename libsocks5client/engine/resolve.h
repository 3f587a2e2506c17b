/* Addresses of servers, of DNS servers and of names that are direct, from libc. */
#ifndef S5_RESOLVE_H
#define S5_RESOLVE_H

#include "engine.h"

/* --- resolve.c --- */
/* SERVER, of the policy, is ready to be connected to: its name is resolved, the bridge in front of it is up. 0, or
 * -errno, logged. */
int s5_resolve_server(struct s5_engine *e, const struct s5_server *server);

/* Whether libc may resolve NODE (NULL: any name) by itself: 0, or -EACCES, logged. */
int s5_resolve_allowed(struct s5_engine *e, const char *node);

/* The first DNS server of resolv.conf that is not on loopback. 0, or -errno. */
int s5_resolve_dns_server(struct s5_engine *e, struct s5_endpoint *ret);

/* The address libc has for NAME that a socket of FAMILY can go to. 0, or -errno. */
int s5_resolve_direct(struct s5_engine *e, const struct s5_addr *name, int family, struct s5_endpoint *ret);

#endif
