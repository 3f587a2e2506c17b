/* Log lines, which go to a file, a descriptor, syslog or standard error; and statistics. */
#ifndef S5_LOG_EVENTS_H
#define S5_LOG_EVENTS_H

#include "engine.h"

/* Values of a policy's log_file other than absolute paths: "syslog", "fd:N". */
#define S5_LOG_EVENTS_SYSLOG "syslog"
#define S5_LOG_EVENTS_FD     "fd:"

/* Keeps rarely used code away from the code that runs often. */
#define S5_LOG_EVENTS_COLD __attribute__((cold, noinline))

/* The write function of an s5_log. USER is the engine. A LINE of LEN octets that cannot be written to its
 * destination is written to standard error, if that is still the file that it was at start. */
S5_LOG_EVENTS_COLD void s5_log_events_write(void *user, const char *line, size_t len);

/* Writes what syslog wants before LINE, LEN octets, to RET. Returns its length. */
#define S5_LOG_EVENTS_HEAD 32
size_t s5_log_events_syslog_head(char ret[static S5_LOG_EVENTS_HEAD], const char *line, size_t len);

/* Sets the format of lines and whether events are noted, from the policy of E, which was just loaded. */
S5_LOG_EVENTS_COLD void s5_log_events_begin(struct s5_engine *e);

/* Logs and counts the result of the negotiation F. READY: it succeeded. Called when F is completed. */
S5_LOG_EVENTS_COLD void s5_log_events_result(struct s5_engine *e, const struct s5_negotiation *f, bool ready);

/* Logs and counts FLOW, which ROUTE makes direct. Called only if e->noted. */
S5_LOG_EVENTS_COLD void s5_log_events_direct(struct s5_engine *e, const struct s5_flow *flow,
                                             const struct s5_route *route);

/* Returns what is wrong with the server that F was connected to when it failed with ERROR (negative errno). Static
 * storage. */
S5_LOG_EVENTS_COLD const char *s5_log_events_why(const struct s5_negotiation *f, int error);

/* These only count, where statistics are kept: a denied flow, a server that was not reached, one that was passed over
 * for the next server of a rule, and the result of a BIND or UDP ASSOCIATE request (COMMAND; GOOD: it succeeded). */
S5_LOG_EVENTS_COLD void s5_log_events_denied(struct s5_engine *e);
S5_LOG_EVENTS_COLD void s5_log_events_unreachable(struct s5_engine *e, uint32_t server_index);
S5_LOG_EVENTS_COLD void s5_log_events_passed_over(struct s5_engine *e, uint32_t server_index);
S5_LOG_EVENTS_COLD void s5_log_events_other(struct s5_engine *e, uint32_t server_index, uint8_t command, bool good);

#endif
