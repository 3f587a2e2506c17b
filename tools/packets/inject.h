/* Packets that the gateway sends into the namespace by its raw sockets. */
#ifndef TOOLS_INJECT_H
#define TOOLS_INJECT_H

#include "handover.h"
#include "packet.h"

/* Takes the raw sockets of H, which this module owns from then on. */
void inject_begin(struct handover *h);

/* Sends the ICMP message by which the sender of P gets ERROR, an errno. */
void inject_error(const struct packet *p, int error);

#define INJECT_HEAD 8 /* octets before a datagram that inject_datagram() overwrites */

/* Sends the datagram of N octets at OCTETS + INJECT_HEAD to TO, as from FROM. */
void inject_datagram(const struct s5_endpoint *from, const struct s5_endpoint *to, uint8_t *octets, size_t n);

#endif
