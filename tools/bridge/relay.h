/* Octets between a program and the server. */
#ifndef S5_BRIDGE_RELAY_H
#define S5_BRIDGE_RELAY_H

#include "conn.h"

/* --- relay.c --- */
/* Starts to relay the octets of C after the reply was sent to the client. SURPLUS, N octets, followed the server's
 * reply. EARLY, M octets, are the client's first ones. */
void relay_begin(struct conn *c, const void *surplus, size_t n, const void *early, size_t m);

/* Ends C, which is CLOSING, if its deadline has passed and all octets for the server are sent. */
void relay_check_closing(struct conn *c);

#endif
