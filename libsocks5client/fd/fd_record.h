/* Records by descriptor. */
#ifndef S5_FD_RECORD_H
#define S5_FD_RECORD_H

#include "engine.h"
#include "registry.h"

/* FD names nothing of ours any more; to be called before it is closed or reused. */
void s5_fd_forget(struct s5_engine *e, int fd);

/* The same where FD names RECORD still. */
void s5_fd_forget_record(struct s5_engine *e, struct s5_record *record, int fd);

/* The record of FD, held, or NULL; and the end of that. */
struct s5_record *s5_fd_hold_record(struct s5_engine *e, int fd);
void s5_fd_release_record(struct s5_engine *e, struct s5_record *record);

/* The end of RECORD, which has neither a name nor a holder. */
void s5_fd_dispose_record(struct s5_engine *e, struct s5_record *record);

/* The record of FD, doubts cleared up; NULL: not ours. Where they proved right FD's cookie is in *RET_COOKIE. */
struct s5_record *s5_fd_checked_record(struct s5_engine *e, int fd, uint64_t *ret_cookie);
struct s5_record *s5_fd_checked_record_slowly(struct s5_engine *e, int fd);
static inline struct s5_record *s5_fd_record(struct s5_engine *e, int fd)
{
    return s5_registry_foreign(&e->registry, fd) ? NULL : s5_fd_checked_record_slowly(e, fd);
}

/* SO_COOKIE, 0 when there is none. */
uint64_t s5_fd_cookie(struct s5_engine *e, int fd);

/* Whether FD names the socket RECORD was made for still: it may have been closed unseen. */
bool s5_fd_is_same_socket(struct s5_engine *e, const struct s5_record *record, int fd);
bool s5_fd_forget_stale(struct s5_engine *e, int fd); /* FD is not: it is forgotten. True when it was so */

/* Whether FD names the socket whose SO_COOKIE is COOKIE. True where that cannot be found out. */
bool s5_fd_has_cookie(struct s5_engine *e, uint64_t cookie, int fd);

/* RECORD's flight, held until s5_negotiation_release; NULL when it is not in flight or that was reclaimed. */
struct s5_negotiation *s5_fd_hold_negotiation(struct s5_engine *e, const struct s5_record *record);

#endif
