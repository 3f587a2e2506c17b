/* The sockets of a namespace that its gateway uses. */
#ifndef TOOLS_INNER_SOCKETS_H
#define TOOLS_INNER_SOCKETS_H

#include "handover.h"

/* Creates the sockets in this network namespace and stores them in RET. Returns 0, or -errno. */
int inner_sockets_create(struct handover *ret, bool ipv6);

#endif
