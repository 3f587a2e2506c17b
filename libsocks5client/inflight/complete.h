/* What a negotiation came to, told to the application once. */
#ifndef S5_COMPLETE_H
#define S5_COMPLETE_H

#include "engine.h"
#include "step.h"

/* Make what FLIGHT came to the record's state, once, and put the epoll registrations back. */
void s5_complete(struct s5_engine *e, struct s5_record *record);

/* The record of FD where it is in flight (after settling what is over), else NULL. */
struct s5_record *s5_complete_find(struct s5_engine *e, int fd);

/* One turn for RECORD, settled when over. EVENTS: what a wait has just said of it, 0 when nothing is known. */
enum s5_step s5_complete_step(struct s5_engine *e, struct s5_record *record, short events);

/* Give up what is in flight on FD, as shutdown() does with a socket that is connecting. False: it is over. */
bool s5_complete_abort(struct s5_engine *e, struct s5_record *record, int fd);

/* What RECORD's flight came to: 0; its error, which is thereby fetched and forgotten; 1: another thread has
 * fetched it, or closed FD. */
int s5_complete_result(struct s5_engine *e, struct s5_record *record, int fd);

/* ERROR of a connection attempt (negative errno), or what the kernel keeps of it where that is 0. SO_ERROR of FD is
 * reset. */
int s5_complete_fetch_error(struct s5_engine *e, uint32_t server_index, int fd, int error);
void s5_complete_log_unreachable(struct s5_engine *e, uint32_t server_index, int error);

#endif
