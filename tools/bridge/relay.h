/* Octets between a program and the server. */
#ifndef S5_BRIDGE_RELAY_H
#define S5_BRIDGE_RELAY_H

#include "conn.h"

/* --- relay.c --- */
/* The reply is told: SURPLUS of N octets came behind it, EARLY of M are the client's first. */
void relay_begin(struct conn *c, const void *surplus, size_t n, const void *early, size_t m);

/* C is CLOSING: look whether it is over. */
void relay_check_closing(struct conn *c);

#endif
