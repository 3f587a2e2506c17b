/* One connection of the doctor's to a server: the library's session over a socket, timed. */
#ifndef TOOLS_TALK_H
#define TOOLS_TALK_H

#include "client.h"
#include "clock.h"
#include "gss.h"
#include "gss_link.h"
#include "policy.h"
#include <sys/socket.h>

#define TALK_HEAD     64
#define TALK_GREET_MS 10000 /* until a greeting is answered */

struct talk {
    int fd;                      /* connected and non-blocking, or -1 */
    struct sockaddr_storage own; /* of this end; ss_family AF_UNIX for a server behind a path */
    struct sockaddr_storage server;
    double reach_ms;         /* the handshake */
    double reply_ms;         /* from the last octet written to the last one read */
    uint8_t head[TALK_HEAD]; /* what the server said first, also where it is no SOCKS5 */
    size_t n_head;
    struct s5_gss *gss;      /* the context where GSSAPI is offered, or NULL; owned */
    struct s5_gss_link link; /* the session in it, and GSSAPI around it */
};

/* Connect to SERVER's address number INDEX (or its path). 0, or -errno. */
int talk_reach(struct talk *ret, const struct s5_policy *policy, const struct s5_server *server, unsigned index,
               int timeout_ms);

/* Run SETUP, with GSS where GSSAPI is among its methods, to its end or its first reply. 0, or
 * -errno: -ETIMEDOUT when nothing (more) came in time, with link.session.failed_in telling in which
 * phase. */
int talk_negotiate(struct talk *t, const struct s5_session_setup *setup, const struct s5_gss_setup *gss,
                   int timeout_ms);

/* Offer METHOD alone: 0 when it is selected, -EACCES when not, else -errno as above. */
int talk_offer(struct talk *t, uint8_t method, int timeout_ms);

/* What the server says within TIMEOUT_MS, to DATA (LEN octets; none: just listen); head has it. */
void talk_listen(struct talk *t, const char *data, size_t len, int timeout_ms);

/* Closes it and wipes what it knew. */
void talk_end(struct talk *t);

/* Milliseconds on a clock that only runs forwards. */
double talk_now(void);

/* The point TIMEOUT_MS from now, for s5_client_await(). */
uint64_t talk_until(int timeout_ms);

#endif
