/* The owner of the other end of a connection on this machine. */
#ifndef BRIDGE_PEER_H
#define BRIDGE_PEER_H

#include <stdbool.h>
#include <sys/socket.h>

/* Returns true if the socket with the address PEER, the peer of the socket FD (TCP or UDP), belongs to the user that
 * this process runs as. Returns false if the owner cannot be determined. */
bool peer_is_same_user(int fd, const struct sockaddr *peer, socklen_t len);

#endif
