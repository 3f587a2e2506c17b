/* The identity of a connection through an isolated server (see isolation.h). */
#ifndef S5_IDENTITY_H
#define S5_IDENTITY_H

#include "isolation.h"

struct s5_engine;

/* Stores in RET the identity of a connection of this process through SERVER to DST. DST is NULL for an association,
 * which has many destinations. Returns 0, or -EACCES: there are no random numbers; logged. */
int s5_identity_choose(struct s5_engine *e, struct s5_identity *ret, const struct s5_server *server,
                       const struct s5_addr *dst);

/* Stores in RET the user name and the password that carry IDENTITY to SERVER, or to the bridge in front of it. */
void s5_identity_words(struct s5_isolation_words *ret, const struct s5_server *server,
                       const struct s5_identity *identity);

/* To be called in the child of a fork. */
void s5_identity_fork_child(struct s5_engine *e);

#endif
