/* What the blocking functions have in common: reaching a server and negotiating there. */
#ifndef S5_API_DIAL_H
#define S5_API_DIAL_H

#include "session.h"
#include <stdint.h>

/* To the server of URL, and through the negotiation as far as it goes by itself: to its end, or to
 * the first of BIND's replies. A non-blocking descriptor, SESSION being what it came to; -errno. */
int s5_dial(const char *url, enum s5_command command, const char *host, uint16_t port,
            int timeout_ms, struct s5_session *session);

/* The point TIMEOUT_MS from now; below 0: as for the functions of the interface. */
int64_t s5_dial_until(int timeout_ms);

/* SESSION over FD until it is DONE or BOUND. 0, or what it failed with; -ETIMEDOUT leaves it as it
 * is, to be gone on with. */
int s5_dial_negotiate(struct s5_session *session, int fd, int64_t until);

/* FD waits from now on. 0, or -errno. */
int s5_dial_block(int fd);

/* ADDR as text into HOST of SIZE octets, its port into *RET_PORT: the octets before the NUL, or
 * -ENOSPC (session_api.c). */
int s5_dial_text(const struct s5_addr *addr, char *host, size_t size, uint16_t *ret_port);

#endif
