/* The server of a request to a stand-alone bridge. */
#ifndef BRIDGE_PICK_H
#define BRIDGE_PICK_H

#include "conn.h"

/* Chooses the server of the request in C->upstream by the rules. Returns 0, or -EACCES, logged. */
int pick_begin(struct conn *c);

/* The server of C was the cause of a failure; DOWN: it was not reached, or has refused the user. Chooses the next
 * server of the rule. Returns false if there is none. */
bool pick_next(struct conn *c, bool down);

/* Returns until when (ms) the server of C may take to accept the user: its own timeout or, if the rule has several
 * servers, its share of the time that is left. */
int64_t pick_deadline(const struct conn *c);

#endif
