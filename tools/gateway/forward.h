/* Listeners of the namespace on loopback, forwarded from the host's loopback. */
#ifndef TOOLS_FORWARD_H
#define TOOLS_FORWARD_H

#include "endpoint.h"
#include <stdbool.h>
#include <stdint.h>

/* Begins to forward to listeners, with AGENT, the socket to the agent, which this module owns from then on. */
void forward_begin(int agent);

/* A listener of the namespace, as diag_begin() calls it. */
void forward_listener(const struct s5_endpoint *at);

/* Whether PORT is forwarded. */
bool forward_has(uint16_t port);

/* Looks for listeners when it is time. Returns the number of ms until it is due again; -1: never. */
int forward_tick(void);

/* Something has happened in the namespace: looks more often for a while. */
void forward_hurry(void);

#endif
