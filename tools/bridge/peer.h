/* Whose the other end of a connection on this machine is. */
#ifndef BRIDGE_PEER_H
#define BRIDGE_PEER_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether the socket at address PEER that talks to the socket FD (TCP or UDP) belongs to the user
 * this process runs as. False when that cannot be told. */
bool peer_is_same_user(int fd, const struct sockaddr *peer, socklen_t len);

#endif
