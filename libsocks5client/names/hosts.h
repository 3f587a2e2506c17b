/* The hosts file, and the families of addresses that this machine has. */
#ifndef S5_HOSTS_H
#define S5_HOSTS_H

#include "addr.h"
#include <stdbool.h>

#define S5_HOSTS_V4 1u

#define S5_HOSTS_V6 2u

/* The families (S5_LOCAL_*) libc answers NAME's addresses for from the hosts file. */
unsigned s5_hosts_hosts(const char *name);

/* Whether the hosts file has the address ADDR. */
bool s5_hosts_has_address(const struct s5_addr *addr);

/* Whether an interface has an IPv6 address that is not loopback's: what AI_ADDRCONFIG asks. */
bool s5_hosts_has_ipv6(void);

/* Whether one has an address that reaches beyond its link, so that IPv6 comes first. */
bool s5_hosts_prefers_ipv6(void);

#endif
