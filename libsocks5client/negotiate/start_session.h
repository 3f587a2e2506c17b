/* Starts a session with a server: its methods and credentials, and what it is requested to do. */
#ifndef S5_START_SESSION_H
#define S5_START_SESSION_H

#include "negotiation.h"
#include "policy.h"

/* Starts SESSION with SERVER for COMMAND to DST, with the identity of F where SERVER is isolated. 0, or -errno as of
 * s5_session_start(). */
int s5_start_session(struct s5_session *session, const struct s5_negotiation *f, const struct s5_server *server,
                     enum s5_command command, const struct s5_addr *dst, bool pipeline);

#endif
