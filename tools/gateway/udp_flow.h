/* The datagrams of the namespace. */
#ifndef TOOLS_UDP_FLOW_H
#define TOOLS_UDP_FLOW_H

#include "endpoint.h"
#include "handover.h"
#include "ports.h"
#include <stdbool.h>

/* Begins to serve the transparent UDP sockets of H, which it owns from then on. Returns 0, or -errno. */
int udp_flow_begin(struct handover *h);

/* Ends the flow of the socket in the namespace that has ADDR, which was closed. */
void udp_flow_closed(const struct s5_endpoint *addr);

/* Ends the flows of sockets that have been closed without notice: those whose ports are not among PORTS. */
void udp_flow_keep(const struct ports *ports);

unsigned udp_flow_count(void);

/* Whether datagrams wait for a SOCKS5 server, or are on their way to its relay. */
bool udp_flow_sends(void);

/* Ends the associations that were kept for their last datagram. Returns in how many ms the next one ends; -1: none. */
int udp_flow_linger(void);

/* Ends what has not been used for long. Called about once a second. */
void udp_flow_tick(void);

#endif
