/* A connection of --check to a server: the library's session over a socket, with its times. */
#ifndef TOOLS_SOCKS_CLIENT_H
#define TOOLS_SOCKS_CLIENT_H

#include "client.h"
#include "clock.h"
#include "gss.h"
#include "gss_link.h"
#include "policy.h"
#include <sys/socket.h>

#define SOCKS_CLIENT_HEAD     64
#define SOCKS_CLIENT_GREET_MS 10000 /* for the answer to a greeting */

struct socks_client {
    int fd;                      /* connected and non-blocking, or -1 */
    struct sockaddr_storage own; /* the local address; its ss_family is AF_UNIX for a server behind a path */
    struct sockaddr_storage server;
    double reach_ms;                 /* time of the connection setup */
    double reply_ms;                 /* time from the last octet written to the last one read */
    uint8_t head[SOCKS_CLIENT_HEAD]; /* first octets of the server, whether they are SOCKS5 or not */
    size_t n_head;
    struct s5_gss *gss;      /* the context if GSSAPI is offered, or NULL; owned */
    struct s5_gss_link link; /* the session and the GSSAPI messages around it */
};

/* Connects to SERVER's address number INDEX (or its path) within TIMEOUT_MS. Returns 0, or -errno. */
int socks_client_connect(struct socks_client *ret, const struct s5_policy *policy, const struct s5_server *server,
                         unsigned index, int timeout_ms);

/* Negotiates SETUP up to its end or its first reply. GSS is used if GSSAPI is among the methods. Returns 0, or -errno:
 * -ETIMEDOUT if nothing, or nothing more, came within TIMEOUT_MS. link.session.failed_in has the phase that failed. */
int socks_client_negotiate(struct socks_client *t, const struct s5_session_setup *setup, const struct s5_gss_setup *gss,
                           int timeout_ms);

/* Offers METHOD alone. Returns 0 if it is selected, -EACCES if not, else -errno as above. */
int socks_client_offer(struct socks_client *t, uint8_t method, int timeout_ms);

/* Sends DATA, which has LEN octets (0: nothing), and receives into T->head what the server sends within TIMEOUT_MS. */
void socks_client_receive(struct socks_client *t, const char *data, size_t len, int timeout_ms);

/* Closes the connection and overwrites the secrets of the session. */
void socks_client_end(struct socks_client *t);

/* Returns the time of a monotonic clock in ms. */
double socks_client_now(void);

/* Returns the point in time TIMEOUT_MS from now, in ns, for s5_client_await(). */
uint64_t socks_client_until(int timeout_ms);

#endif
