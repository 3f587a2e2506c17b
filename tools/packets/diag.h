/* What the kernel tells about the sockets of the namespace (sock_diag(7)). */
#ifndef TOOLS_DIAG_H
#define TOOLS_DIAG_H

#include "endpoint.h"
#include <stdbool.h>
#include <stddef.h>

struct diag_events {
    /* A listening TCP socket of a dump; after the last one NULL. */
    void (*listener)(const struct s5_endpoint *at);
    /* The UDP socket AT was closed. */
    void (*udp_closed)(const struct s5_endpoint *at);
    /* The TCP socket FROM, connected or connecting to TO, was closed. */
    void (*tcp_closed)(const struct s5_endpoint *from, const struct s5_endpoint *to);
};

/* Begins to use the netlink socket FD, which it owns from then on, and to call the functions of EVENTS. Returns 0, or
 * -errno. */
int diag_begin(int fd, const struct diag_events *events);

/* Requests a dump of the listeners. Does nothing while one is under way. */
void diag_request_listeners(void);

/* Reads the messages of N octets at P as they come from the socket. For tests. */
void diag_read(const void *p, size_t n);

#endif
