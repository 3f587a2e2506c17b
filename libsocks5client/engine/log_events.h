/* Where log lines go: a file, a descriptor, syslog, or standard error; and what is counted. */
#ifndef S5_LOG_EVENTS_H
#define S5_LOG_EVENTS_H

#include "engine.h"

/* Values of a policy's log_file beside absolute paths: "syslog", "fd:N". */
#define S5_LOG_EVENTS_SYSLOG "syslog"
#define S5_LOG_EVENTS_FD     "fd:"

/* Out of the way of those who pass by. */
#define S5_LOG_EVENTS_COLD __attribute__((cold, noinline))

/* An s5_log's write, USER being the engine. What cannot be written where it should goes to standard
 * error, while that is still the one the process began with. */
S5_LOG_EVENTS_COLD void s5_log_events_write(void *user, const char *line, size_t len);

/* Take from P, just loaded, how lines look and whether to note what is done. */
S5_LOG_EVENTS_COLD void s5_log_events_begin(struct s5_engine *e);

/* A flight is over: READY or not. For settling. */
S5_LOG_EVENTS_COLD void s5_log_events_result(struct s5_engine *e, const struct s5_negotiation *f, bool ready);

/* FLOW is direct by ROUTE. Only where e->noted. */
S5_LOG_EVENTS_COLD void s5_log_events_direct(struct s5_engine *e, const struct s5_flow *flow,
                                             const struct s5_route *route);

/* Counts alone, where the tree keeps them. */
S5_LOG_EVENTS_COLD void s5_log_events_denied(struct s5_engine *e);
S5_LOG_EVENTS_COLD void s5_log_events_unreachable(struct s5_engine *e, uint32_t server_index);
S5_LOG_EVENTS_COLD void s5_log_events_other(struct s5_engine *e, uint32_t server_index, uint8_t command, bool good);

#endif
