/* Requests tickets ahead of time. A request to a KDC may take seconds, which must not delay connections that do not
 * need the ticket. A child of the bridge makes the request. It stores the ticket in the user's cache, where the
 * contexts of the bridge find it without a request. */
#ifndef BRIDGE_TICKET_H
#define BRIDGE_TICKET_H

#include "gss.h"
#include "loop.h"
#include "policy.h"

enum ticket_state {
    TICKET_NONE,
    TICKET_ASKING, /* a child requests it; ticket_done() is called at the end */
    TICKET_GOOD,
    TICKET_FAILED, /* the last child failed, the reason is in the log; the next connection tries again */
};

/* Returns the state of the ticket for server INDEX of P. Starts a child if one is needed. The end of the child is
 * reported by ticket_done(). */
enum ticket_state ticket_get(const struct s5_policy *p, int index);

/* Returns the principal of the service, if the ticket is GOOD. */
const char *ticket_principal(int index);

/* Forgets a GOOD ticket, because a context was refused. */
void ticket_forget(int index);

/* Called when the child for server INDEX has ended. The owner of the connections sets it. */
extern void (*ticket_done)(int index, enum ticket_state state);

#endif
