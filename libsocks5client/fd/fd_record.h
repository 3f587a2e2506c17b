/* Records by descriptor. */
#ifndef S5_FD_RECORD_H
#define S5_FD_RECORD_H

#include "engine.h"
#include "registry.h"

/* Forgets the record of FD. To be called before FD is closed or reused. */
void s5_fd_forget(struct s5_engine *e, int fd);

/* The same where FD still names RECORD. */
void s5_fd_forget_record(struct s5_engine *e, struct s5_record *record, int fd);

/* s5_fd_hold_record() returns the record of FD, held, or NULL. s5_fd_release_record() releases the hold; the last
 * release disposes of the record. */
struct s5_record *s5_fd_hold_record(struct s5_engine *e, int fd);
void s5_fd_release_record(struct s5_engine *e, struct s5_record *record);

/* Disposes of RECORD, which has neither a descriptor nor a holder. */
void s5_fd_dispose_record(struct s5_engine *e, struct s5_record *record);

/* Returns the record of FD, checked where S5_SLOT_NEEDS_CHECK is set; NULL: FD has none. *RET_COOKIE receives the
 * cookie of FD only where the check found that the record was another socket's, and is forgotten. */
struct s5_record *s5_fd_checked_record(struct s5_engine *e, int fd, uint64_t *ret_cookie);
struct s5_record *s5_fd_checked_record_slowly(struct s5_engine *e, int fd);
static inline struct s5_record *s5_fd_record(struct s5_engine *e, int fd)
{
    return s5_registry_foreign(&e->registry, fd) ? NULL : s5_fd_checked_record_slowly(e, fd);
}

/* Returns SO_COOKIE of FD; 0: it has none. Preserves errno. */
uint64_t s5_fd_cookie(struct s5_engine *e, int fd);

/* Returns whether FD still names the socket that RECORD was made for: it may have been closed unnoticed. */
bool s5_fd_is_same_socket(struct s5_engine *e, const struct s5_record *record, int fd);
bool s5_fd_forget_stale(struct s5_engine *e, int fd); /* true: it does not, and was forgotten */

/* Returns whether FD names the socket whose SO_COOKIE is COOKIE. True where this cannot be found out. */
bool s5_fd_has_cookie(struct s5_engine *e, uint64_t cookie, int fd);

/* Returns RECORD's negotiation, held until s5_negotiation_release(); NULL: RECORD is not in flight, or its negotiation
 * was reclaimed. */
struct s5_negotiation *s5_fd_hold_negotiation(struct s5_engine *e, const struct s5_record *record);

#endif
