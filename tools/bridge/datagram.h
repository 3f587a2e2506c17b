/* Datagrams between a program and the server. */
#ifndef S5_BRIDGE_DATAGRAM_H
#define S5_BRIDGE_DATAGRAM_H

#include "conn.h"

/* --- datagram.c --- */
/* Sends the client the reply and starts to relay datagrams. The relay of the server is at BOUND. Refuses the client if
 * that fails. */
void datagram_begin(struct conn *c, const struct s5_addr *bound);

#endif
