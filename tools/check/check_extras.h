/* The checks of what not every server supports. */
#ifndef SOCKSIFY_CHECK_EXTRAS_H
#define SOCKSIFY_CHECK_EXTRAS_H

#include "check.h"

/* Checks what not every server supports: names, IPv6, BIND, UDP, pipelining. For check_server(), after the reply to a
 * CONNECT. */
void check_extras(struct check *c);

#endif
