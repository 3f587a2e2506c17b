/* A connection to a server and the negotiation on it, for code that has a thread or an event loop for them: the
 * blocking functions of the library, the checks of socksify --check and the bridge. (The negotiations of programs
 * are shared by processes, see shm/negotiation.h.) */
#ifndef S5_CLIENT_H
#define S5_CLIENT_H

#include "gss_link.h"
#include "policy.h"
#include "udp_relay.h"
#include <sys/socket.h>

/* Waits until FD is ready for EVENTS or in error. Returns 0; -ETIMEDOUT at the time UNTIL (ns, as s5_clock_now()); or
 * -errno. A signal does not end the wait. */
int s5_client_await(int fd, short events, uint64_t until);

/* --- the connection --- */

/* Stores in RET the address number INDEX of SERVER, or its path. Returns 0; -ENOENT: there are no more; or
 * -ENAMETOOLONG: the path is too long. */
int s5_client_address(const struct s5_policy *p, const struct s5_server *server, unsigned index,
                      struct sockaddr_storage *ret, socklen_t *ret_len);

/* Creates a non-blocking socket, *RET_FD, and connects it to ADDR. The caller owns it. Returns 0; -EINPROGRESS: once
 * the socket is writable, s5_client_dialled() returns the result; or another -errno: there is no socket. */
int s5_client_dial(const struct sockaddr_storage *addr, socklen_t len, int *ret_fd);
/* Returns the result of the connection of FD: 0 or -errno. */
int s5_client_dialled(int fd);

/* Does both and waits, until UNTIL at most. Returns the descriptor, which the caller owns, or -errno. */
int s5_client_reach(const struct sockaddr_storage *addr, socklen_t len, uint64_t until);

/* Stores in RET where the datagrams of an association go, by s5_udp_relay_choose(). FD is its control connection, BOUND
 * the address in the server's reply. FAMILY is that of the socket; AF_UNSPEC: it is chosen by the address. Returns 0;
 * -EAFNOSUPPORT: a socket of FAMILY cannot reach it; or -errno of s5_udp_relay_choose(). WHY explains every failure. */
int s5_client_relay(const struct s5_policy *p, const struct s5_server *server, int fd, const struct s5_addr *bound,
                    int family, struct sockaddr_storage *ret, socklen_t *ret_len, char why[S5_UDP_RELAY_WHY]);

/* --- the negotiation --- */

struct s5_client {
    struct s5_gss_link *link; /* started; not owned */
    int fd;                   /* connected, non-blocking or not; not owned */
    short poll_events;        /* POLLIN or POLLOUT: what the next step needs */
    bool closed;              /* the server has closed its side, or reset the connection */
    uint64_t sent, came;      /* ns; time of the last write and of the last read of octets; 0: never */
    uint8_t *head;            /* receives the first octets from the server; NULL: they are not kept; not owned */
    size_t head_size, n_head; /* size of HEAD, and octets in it */
};

/* Continues the negotiation of C as far as possible without waiting. Returns 0: the session is DONE or BOUND;
 * -EAGAIN: the socket must become ready for C->poll_events; or the -errno of the negotiation. */
int s5_client_step(struct s5_client *c);

/* The same, with waiting. Returns -ETIMEDOUT at the time UNTIL; the negotiation may then be continued. */
int s5_client_run(struct s5_client *c, uint64_t until);

#endif
