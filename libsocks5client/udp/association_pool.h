/* Where associations come from and go to. */
#ifndef S5_ASSOCIATION_POOL_H
#define S5_ASSOCIATION_POOL_H

#include "association.h"

/* An unused one, for the socket of COOKIE, and its number; NULL: there is none left. */
struct s5_association *s5_association_take(struct s5_engine *e, uint64_t cookie, uint32_t *ret);

/* Whether it is, for a call that began with A of GENERATION for the socket COOKIE: 0; -EBADF: FD is closed, or
 * another socket's; -ESTALE: the socket has no such association any more. */
int s5_association_still(struct s5_engine *e, const struct s5_association *a, uint32_t generation, uint64_t cookie,
                         int fd);

/* Under the lock: A is none any more; the calling thread is about to ask the server for it, as CALL notes. */
void s5_association_give(struct s5_engine *e, struct s5_association *a);
void s5_association_begin_asking(struct s5_association *a, struct s5_cleanup *call);

/* The thread that asked the server for A, of GENERATION, does not go on. */
void s5_association_abandon(struct s5_engine *e, struct s5_association *a, uint32_t generation);

/* RUN of such a CALL's entry: see s5_blocking_release; who asked for an association does not go on. */
s5_cleanup_fn s5_association_release_call;

/* The control connection of association *AT (set behind the last one where that is not in use); -1: none. */
int s5_association_control(const struct s5_engine *e, uint32_t *at);

struct s5_kind;
extern const struct s5_kind s5_association_kind;

void s5_association_end(struct s5_engine *e, uint32_t number); /* the record that had association NUMBER is no more */

#endif
