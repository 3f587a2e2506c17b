/* The way from a request to the server's reply. */
#ifndef BRIDGE_UPSTREAM_H
#define BRIDGE_UPSTREAM_H

#include "conn.h"
#include "ticket.h"

/* The request in C's talk is to be carried out. */
void upstream_begin(struct conn *c);

/* C is WAITING: once more. */
void upstream_retry(struct conn *c);

/* For ticket_done. */
void upstream_ticket_done(int index, enum ticket_state state);

#endif
