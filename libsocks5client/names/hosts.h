/* The hosts file, and the address families of this machine. */
#ifndef S5_HOSTS_H
#define S5_HOSTS_H

#include "addr.h"
#include <stdbool.h>

#define S5_HOSTS_V4 1u

#define S5_HOSTS_V6 2u

/* Returns the families (S5_HOSTS_*) for which libc finds an address of NAME in the hosts file. */
unsigned s5_hosts_hosts(const char *name);

/* Returns true if the hosts file has the address ADDR; its port is ignored. */
bool s5_hosts_has_address(const struct s5_addr *addr);

/* Returns true if an interface has an IPv6 address other than loopback, as AI_ADDRCONFIG requires. */
bool s5_hosts_has_ipv6(void);

/* Returns true if an interface has an IPv6 address of global scope, so that IPv6 addresses are listed first. */
bool s5_hosts_prefers_ipv6(void);

#endif
