/* A connection to a server and the negotiation on it, for a thread or an event loop that does nothing else with them:
 * the library's blocking functions, the doctor and the bridge. (Processes share those of programs: flight.h.) */
#ifndef S5_CLIENT_H
#define S5_CLIENT_H

#include "gss_link.h"
#include "policy.h"
#include <sys/socket.h>

/* Waits until FD is ready for EVENTS or in error. 0; -ETIMEDOUT at the point UNTIL (ns, s5_clock_now); -errno. A signal
 * does not end it. */
int s5_client_await(int fd, short events, uint64_t until);

/* --- the connection --- */

/* The address number INDEX of SERVER, or its path. 0; -ENOENT: there are no more; -ENAMETOOLONG: the path is. */
int s5_client_address(const struct s5_policy *p, const struct s5_server *server, unsigned index,
                      struct sockaddr_storage *ret, socklen_t *ret_len);

/* A non-blocking socket that is connected to ADDR, into *RET_FD. 0; -EINPROGRESS: it will be, s5_client_dialled() tells
 * once it is ready for writing; -errno: there is none. */
int s5_client_dial(const struct sockaddr_storage *addr, socklen_t len, int *ret_fd);
int s5_client_dialled(int fd);

/* Both, at the point UNTIL at the latest: a descriptor, or -errno. */
int s5_client_reach(const struct sockaddr_storage *addr, socklen_t len, uint64_t until);

/* --- the negotiation --- */

struct s5_client {
    struct s5_gss_link *link; /* started */
    int fd;                   /* connected, non-blocking or not */
    short poll_events;        /* POLLIN or POLLOUT: what the next step waits for */
    bool closed;              /* the server has closed its side, or reset the connection */
    uint64_t sent, came;      /* ns; when octets were written last, and read last; 0: never */
    uint8_t *head;            /* the first octets that the server says; NULL: they are not kept */
    size_t head_size, n_head;
};

/* As far as it goes without waiting. 0: the session is DONE or BOUND; -EAGAIN: it waits for WANTS; else the -errno it
 * has failed with. */
int s5_client_step(struct s5_client *c);

/* The same with waiting. -ETIMEDOUT at the point UNTIL: it may go on. */
int s5_client_run(struct s5_client *c, uint64_t until);

#endif
