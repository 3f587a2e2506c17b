/* From the request of a client to the server's reply. */
#ifndef BRIDGE_UPSTREAM_H
#define BRIDGE_UPSTREAM_H

#include "conn.h"
#include "ticket.h"

/* Carries out the request in C->upstream. */
void upstream_begin(struct conn *c);

/* Ends C, whose request to the server failed with ERROR, a negative errno. */
void upstream_fail(struct conn *c, int error);

/* Dials the server again, which was busy. C is WAITING. */
void upstream_retry(struct conn *c);

/* The function for ticket_done: continues the connections that wait for the ticket of server INDEX, which is now in
 * STATE. */
void upstream_ticket_done(int index, enum ticket_state state);

#endif
