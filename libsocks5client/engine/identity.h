/* Which identity a connection through an isolated server goes under (see isolation.h). */
#ifndef S5_IDENTITY_H
#define S5_IDENTITY_H

#include "isolation.h"

struct s5_engine;

/* For a connection of this process to DST, or NULL: to many destinations, as an association. 0, or
 * -EACCES, logged. */
int s5_identity_choose(struct s5_engine *e, struct s5_identity *ret, const struct s5_server *server,
                       const struct s5_addr *dst);

/* What SERVER, or the bridge that stands before it, is told of IDENTITY. */
void s5_identity_words(struct s5_isolation_words *ret, const struct s5_server *server,
                       const struct s5_identity *identity);

/* This process has just come from a fork. */
void s5_identity_fork_child(struct s5_engine *e);

#endif
