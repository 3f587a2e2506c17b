/* The start of a gateway, and the way to the one that a tree has already. */
#ifndef TOOLS_LAUNCH_H
#define TOOLS_LAUNCH_H

#include "handover.h"
#include "shm.h"

/* Connects to the gateway of this tree and user. Returns the socket, or -errno: there is none. */
int launch_connect(struct s5_shm *shm);

/* Starts the gateway FILE outside of the namespaces that this process is about to make. Returns the socket to it, or
 * -errno. */
int launch_gateway(const char *file);

/* The same by the companion, for a process within the fence. The companion lets calls of this network namespace pass
 * from then on. To be called after the namespace was made. */
int launch_gateway_by_companion(void);

/* Sends H and receives the reply into RET, whose descriptors belong to the caller. Returns 0, or the -errno of either
 * side. */
int launch_request(int channel, struct handover *h, struct handover *ret);

/* One launcher of the tree at a time makes a namespace. launch_lock() waits for the others, for some
 * seconds at most. */
void launch_lock(int shm_fd);
void launch_unlock(int shm_fd);

#endif
