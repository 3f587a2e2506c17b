/* What the kernel tells about the sockets of the namespace (sock_diag(7)). */
#ifndef TOOLS_DIAG_H
#define TOOLS_DIAG_H

#include "endpoint.h"
#include <stdbool.h>
#include <stddef.h>

/* Begins to use the netlink socket FD, which it owns from then on. LISTENER is called for each listening TCP socket of
 * a dump, and then once with NULL. CLOSED is called for each UDP socket that was closed. Returns 0, or -errno. */
int diag_begin(int fd, void (*listener)(const struct s5_endpoint *at), void (*closed)(const struct s5_endpoint *at));

/* Requests a dump of the listeners. Does nothing while one is under way. */
void diag_request_listeners(void);

/* Reads the messages of N octets at P as they come from the socket. For tests. */
void diag_read(const void *p, size_t n);

#endif
