/* What the companion does for programs within the fence: it looks up names that rules lead directly, and starts a
 * bridge. */
#ifndef TOOLS_SERVE_H
#define TOOLS_SERVE_H

#include "shm.h"
#include <sys/types.h>

struct serve_bridge {
    struct s5_shm *shm;
    int shm_fd;
    const char *path, *gateway_path;
};

/* Receives the request of TASK on CHANNEL and replies. Runs in a process of its own, which it ends. */
_Noreturn void serve_request(int channel, pid_t task, const struct serve_bridge *bridge);

#endif
