/* The companion of a process tree: a process outside of its fence. The kernel reports the calls to it that the fence
 * refuses. It lets those pass that concern no Internet socket, and writes a log line about the others. Programs of the
 * tree ask it for what cannot be done within the fence, see resolve/companion_request.h. It ends when no process is
 * within the fence any more. */
#ifndef TOOLS_COMPANION_H
#define TOOLS_COMPANION_H

#include "policy.h"
#include "shm.h"

/* Starts the companion. It is no child of this process, has none of its descriptors but SHM_FD and the next, and waits
 * for companion_give(). Returns a socket to it, which exec closes, or -errno. If the socket is closed it ends. */
int companion_start(const struct s5_policy *policy, struct s5_shm *shm, int shm_fd, const char *bridge_path,
                    const char *gateway_path);

/* Sends LISTENER to the companion, by a call with the key, and closes it. */
void companion_give(int companion, int listener);

#endif
