/* The pool of associations of a process. */
#ifndef S5_ASSOCIATION_POOL_H
#define S5_ASSOCIATION_POOL_H

#include "association.h"
#include "result.h"

/* Takes an unused association for the socket COOKIE, with its number in *RET. NULL: none is left. */
struct s5_association *s5_association_take(struct s5_engine *e, uint64_t cookie, uint32_t *ret);

/* Whether FD still has A, of GENERATION, for a call that began with A on the socket COOKIE. 0; -EBADF: FD is closed, or
 * is another socket; S5_RESULT_NO_ASSOCIATION: the socket no longer has this association. */
int s5_association_still(struct s5_engine *e, const struct s5_association *a, uint32_t generation, uint64_t cookie,
                         int fd);

/* Releases A and closes its control connection: under associations_lock, or where no thread can request A, because
 * its record has ended. */
void s5_association_free(struct s5_engine *e, struct s5_association *a);
/* Marks A as requested by the calling thread; CALL holds it. Under associations_lock. */
void s5_association_begin_request(struct s5_association *a, struct s5_cleanup *call);

/* Ends the request for A, of GENERATION, whose thread does not go on. Without a record A is released. */
void s5_association_abandon(struct s5_engine *e, struct s5_association *a, uint32_t generation);

/* The RUN function of CALL's entry: s5_blocking_release() that also ends the request for an association. */
s5_cleanup_fn s5_association_release_call;

/* The control connection of association *AT; -1: none. Beyond the associations in use, *AT becomes S5_ASSOCIATIONS. */
int s5_association_control(const struct s5_engine *e, uint32_t *at);

struct s5_kind;
extern const struct s5_kind s5_association_kind;

void s5_association_end(struct s5_engine *e, uint32_t number); /* releases NUMBER, whose record has ended */

#endif
