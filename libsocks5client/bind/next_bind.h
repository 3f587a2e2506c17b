/* The next BIND of a listener, after a connection was returned.
 *
 * It is a negotiation in flight, like a non-blocking connect(): accept() begins it and returns, and the calls that
 * wait continue it. Its connection is an internal descriptor, whose record is in flight and names no peer. */
#ifndef S5_NEXT_BIND_H
#define S5_NEXT_BIND_H
#include "listener.h"

struct s5_kind;
extern const struct s5_kind s5_next_bind_kind;

/* Begins the next BIND of the LISTENING record. If it cannot begin, the wakeup descriptor becomes readable, and
 * accept() makes the BIND. Under the listener's lock. */
void s5_next_bind_begin(struct s5_engine *e, struct s5_record *record);

/* Whether this process has begun a BIND for L that is in flight. */
bool s5_next_bind_pending(struct s5_engine *e, const struct s5_listener *l);
/* Takes one step of it: a program that tries accept() now and then waits in no call. Not under the listener's lock. */
void s5_next_bind_step(struct s5_engine *e, const struct s5_listener *l);
/* Waits until the LISTENING record has its next BIND, or a signal arrives. */
void s5_next_bind_await(struct s5_engine *e, struct s5_record *record);
/* Gives up the BIND that this process has begun for L, if any. */
void s5_next_bind_drop(struct s5_engine *e, const struct s5_listener *l);

#endif
