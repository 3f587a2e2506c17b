/* Tickets ahead of time: asking a KDC may take seconds, which no connection but those that wait for
 * the ticket is to feel. A child of the bridge asks; what it fetched is in the user's cache, where
 * the bridge's own contexts find it without asking anybody. */
#ifndef BRIDGE_TICKET_H
#define BRIDGE_TICKET_H

#include "gss.h"
#include "loop.h"
#include "policy.h"

enum ticket_state {
    TICKET_NONE,
    TICKET_ASKING, /* a child is at it; waiters are called when it is over */
    TICKET_GOOD,
    TICKET_FAILED, /* the last child said why in the log; the next connection tries anew */
};

/* The state for server INDEX of P, a child started where needed. Its waiters hear of the end
 * through ticket_done(), which the owner of the connections gives. */
enum ticket_state ticket_get(const struct s5_policy *p, int index);

/* What the service's principal came to, for a GOOD one. */
const char *ticket_principal(int index);

/* GOOD no more: a context refused it. */
void ticket_forget(int index);

/* Called when the child for server INDEX is over. */
extern void (*ticket_done)(int index, enum ticket_state state);

#endif
