/* Connections and datagrams outside of the namespace, by the engine. */
#ifndef TOOLS_OUTSIDE_H
#define TOOLS_OUTSIDE_H

#include "endpoint.h"
#include "handover.h"
#include <stdbool.h>

/* Loads the policy, for the namespace of H. Without one everything is refused. */
void outside_begin(struct handover *h);

/* Connects a new non-blocking socket to TO as the rules say. Returns 0 or -EINPROGRESS with the socket in *RET_FD,
 * which the caller owns; or another -errno. */
int outside_connect(const struct s5_endpoint *to, int *ret_fd);

/* Replaces TO, if it is the name server of the namespace's resolv.conf, by the one of this process's. Returns whether
 * it was replaced. */
bool outside_find_dns(struct s5_endpoint *to);

/* Whether datagrams may be sent to TO at all. */
bool outside_permits(const struct s5_endpoint *to);

/* Whether the socket FD sends a datagram to TO without a wait for a SOCKS5 server. CHECK: the server may have ended the
 * association. */
bool outside_sends_at_once(int fd, const struct s5_endpoint *to, bool check);

/* Resolves the names of the servers and stores the addresses in the shared state, where programs in the namespace find
 * them. May take as long as the resolver. */
void outside_resolve_servers(void);

#endif
