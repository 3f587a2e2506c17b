/* The addresses and routes of a namespace. */
#ifndef TOOLS_ROUTES_H
#define TOOLS_ROUTES_H

#include <stdbool.h>

/* In this network namespace: sets lo up, gives it the addresses of rules.h, and makes every other address local, so
 * that packets to it arrive here. Returns 0, or -errno. *RET_IPV6 is false where the kernel has no IPv6. */
int routes_install(bool *ret_ipv6);

#endif
