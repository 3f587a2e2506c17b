/* The choice among the servers of a rule that has several. What is known of them decides, see cache/server_cache.h: a
 * server that is down is the last resort. After a reload the choice goes on with the policy that it began with. A
 * process that does not have that policy has no server left. */
#ifndef S5_CHOICE_H
#define S5_CHOICE_H

#include "engine.h"

/* Begins the choice among the servers of rule number RULE of the policy P for a flow to TO. Their names are resolved
 * and their bridges are up afterwards, as far as possible. */
void s5_choice_begin(struct s5_engine *e, struct s5_choice *ret, const struct s5_policy *p, unsigned rule,
                     const struct s5_addr *to);

/* Begins the choice again, for another flow of the same kind that has TIMEOUT ns. */
void s5_choice_repeat(struct s5_choice *choice, uint64_t timeout);

/* Returns the next server that a socket of FAMILY (AF_UNSPEC: any) can reach, or NULL: none is left. */
const struct s5_server *s5_choice_next(struct s5_engine *e, struct s5_choice *choice, int family);

/* Returns until when (ns) the server that CHOICE is at may take to accept the user: its own timeout, or its share of
 * the time that is left. */
uint64_t s5_choice_deadline(const struct s5_engine *e, const struct s5_choice *choice);

/* Reports about the server that CHOICE is at, for all flows of the process tree and for the next run. */
void s5_choice_failed(struct s5_engine *e, const struct s5_choice *choice);
void s5_choice_succeeded(struct s5_engine *e, const struct s5_choice *choice);
/* The server closed the connection in place of a reply. Returns true if it does so for whatever it is asked. */
bool s5_choice_closed(struct s5_engine *e, const struct s5_choice *choice);

/* Notes whether the server that CHOICE is at has succeeded (R >= 0), for a request without a target, such as BIND and
 * UDP ASSOCIATE. DOWN: it was not reached, or has refused the user. */
void s5_choice_note(struct s5_engine *e, const struct s5_choice *choice, int r, bool down);

/* Returns the rule of CHOICE. */
const struct s5_rule *s5_choice_rule(const struct s5_engine *e, const struct s5_choice *choice);

#endif
