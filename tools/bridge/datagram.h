/* Datagrams between a program and the server. */
#ifndef S5_BRIDGE_DATAGRAM_H
#define S5_BRIDGE_DATAGRAM_H

#include "conn.h"

/* --- datagram.c --- */
/* The association is made, the relay at BOUND; tells the client. */
void datagram_begin(struct conn *c, const struct s5_addr *bound);

#endif
