/* Listeners of the namespace on loopback, mirrored on the host's loopback. */
#ifndef TOOLS_MIRROR_H
#define TOOLS_MIRROR_H

#include "endpoint.h"
#include <stdbool.h>
#include <stdint.h>

/* Begins to mirror listeners, with AGENT, the socket to the agent, which this module owns from then on. */
void mirror_begin(int agent);

/* A listener of the namespace, as diag_begin() calls it. */
void mirror_listener(const struct s5_endpoint *at);

/* Whether PORT is mirrored. */
bool mirror_has(uint16_t port);

/* Looks for listeners when it is time. Returns the number of ms until it is due again; -1: never. */
int mirror_tick(void);

/* Something has happened in the namespace: looks more often for a while. */
void mirror_hurry(void);

#endif
