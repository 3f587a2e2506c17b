/* Packets of the namespace: those that wait for a verdict, and the ICMP errors about them. No system calls. */
#ifndef TOOLS_PACKET_H
#define TOOLS_PACKET_H

#include "endpoint.h"
#include <stddef.h>
#include <stdint.h>

#define PACKET_QUOTED 48 /* octets of a packet that an ICMP error quotes: the IP header and 8 octets */

struct packet {
    uint8_t protocol;            /* IPPROTO_* */
    struct s5_endpoint from, to; /* the ports are 0 unless it is TCP or UDP */
    uint8_t quoted[PACKET_QUOTED];
    uint8_t quoted_len;
};

/* Reads the packet of N octets at P, which begins with the IP header. Returns false if it has no complete header, is a
 * later fragment, or has a protocol other than TCP, UDP, ICMP and ICMPv6. */
bool packet_read(struct packet *ret, const uint8_t *p, size_t n);

/* Makes the head of a UDP datagram that was received without its header, of SIZE octets. */
void packet_make_udp(struct packet *ret, const struct s5_endpoint *from, const struct s5_endpoint *to, size_t size);

#define PACKET_ERROR_MAX (8 + PACKET_QUOTED)

/* Writes to RET the ICMP message by which the sender of P gets ERROR, an errno: with a checksum for IPv4; that of IPv6
 * is the kernel's work. Some errors become another one: IPv4 has no message for EACCES (EHOSTUNREACH), and a UDP socket
 * of IPv6 is told EACCES and ECONNREFUSED only. Returns the number of octets. */
size_t packet_write_error(const struct packet *p, int error, uint8_t ret[static PACKET_ERROR_MAX]);

#endif
