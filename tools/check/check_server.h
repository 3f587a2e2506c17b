/* The checks of one server. */
#ifndef SOCKSIFY_CHECK_SERVER_H
#define SOCKSIFY_CHECK_SERVER_H

#include "check.h"

/* Checks the server of C and reports all its rows. */
void check_server(struct check *c);

/* Returns the common setup of requests to C's server: COMMAND with DST, which must remain valid. */
struct s5_session_setup check_setup(const struct check *c, enum s5_command command, const struct s5_addr *dst);

/* Connects to C's server and negotiates SETUP within TIMEOUT_MS, step by step or pipelined as SETUP says. The caller
 * ends T in any case. Returns 0, or -errno. */
int check_ask(struct check *c, const struct s5_session_setup *setup, int timeout_ms, struct socks_client *t);

/* Returns a text for the user: the result of T's negotiation, which returned RESULT. */
const char *check_result_text(const struct socks_client *t, int result);

#endif
