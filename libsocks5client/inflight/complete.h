/* The result of a negotiation, reported to the application once. */
#ifndef S5_COMPLETE_H
#define S5_COMPLETE_H

#include "engine.h"
#include "step.h"

/* Completes RECORD with the result of its negotiation, once, and restores the epoll registrations. */
void s5_complete(struct s5_engine *e, struct s5_record *record);

/* Returns the record of FD if it is in flight, else NULL. A negotiation that is over is completed first. */
struct s5_record *s5_complete_find(struct s5_engine *e, int fd);

/* Takes one step for RECORD, and completes it when the negotiation is over. EVENTS: what a wait has just reported of
 * it; 0: unknown. */
enum s5_step s5_complete_step(struct s5_engine *e, struct s5_record *record, short events);

/* Aborts what is in flight on FD, as shutdown() does with a socket that is connecting. False: nothing was aborted. */
bool s5_complete_abort(struct s5_engine *e, struct s5_record *record, int fd);

/* Returns the result of RECORD's negotiation: 0; its error, which is thereby fetched and forgotten; 1: another thread
 * has fetched it, or closed FD. */
int s5_complete_result(struct s5_engine *e, struct s5_record *record, int fd);

/* fetch_error: returns ERROR of a connection attempt (a negative errno) or, if it is 0, the error that the kernel
 * keeps, which is logged. Resets SO_ERROR of FD. log_unreachable: logs that the server cannot be reached. */
int s5_complete_fetch_error(struct s5_engine *e, uint32_t server_index, int fd, int error);
void s5_complete_log_unreachable(struct s5_engine *e, uint32_t server_index, int error);

#endif
