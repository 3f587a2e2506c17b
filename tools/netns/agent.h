/* The agent: a process in the network namespace that makes connections within it for the gateway, which is outside. */
#ifndef TOOLS_AGENT_H
#define TOOLS_AGENT_H

#include <stdint.h>
#include <sys/types.h>

/* The gateway's request. The reply is an int32_t: 0, or -errno; with 0 and a descriptor of a non-blocking socket whose
 * connection is being made. */
struct agent_request {
    uint16_t family; /* AF_INET or AF_INET6: which loopback address is connected to */
    uint16_t port;   /* in host order */
};

/* Starts the agent, in a process that is no child of this one. Returns the socket to it, which exec closes, or -errno.
 * The agent ends when that is closed. */
int agent_start(void);

/* Runs CHILD in a new process that is no child of this one, and sends it no signal when it ends. CHILD does not return.
 * Returns 0, or -errno. */
int agent_fork_apart(void (*child)(void *user), void *user);

#endif
