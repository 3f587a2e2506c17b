/* The TCP connections of the namespace. */
#ifndef TOOLS_TCP_FLOW_H
#define TOOLS_TCP_FLOW_H

#include "handover.h"
#include "packet.h"
#include "ports.h"

/* Begins to serve the listeners of H, which it owns from then on. Returns 0, or -errno. */
int tcp_flow_begin(struct handover *h);

/* A SYN, whose verdict the packet ID waits for. */
void tcp_flow_take_syn(uint32_t id, const struct packet *p);

/* The program has closed the socket FROM, which was connected or connecting to TO. */
void tcp_flow_abandoned(const struct s5_endpoint *from, const struct s5_endpoint *to);

/* The same for the connections that are not relayed yet and whose ports are not among PORTS: no notice came. */
void tcp_flow_keep(const struct ports *ports);

/* Relays between INNER, a socket of the namespace, and OUTER, a socket outside, which are connected or being connected.
 * Owns both. The direction of the data is as of a connection from inside. */
void tcp_flow_join(int inner, int outer);

/* Ends what has waited for too long. Called about once a second. */
void tcp_flow_tick(void);

/* Whether a connection is not relayed yet. */
bool tcp_flow_waits(void);

/* Returns the number of connections. */
unsigned tcp_flow_count(void);

#endif
