/* The header of RFC 1928 section 7 before every datagram to and from a relay. */
#ifndef S5_UDP_HEADER_H
#define S5_UDP_HEADER_H

#include "addr.h"
#include "bytes.h"
#include <stddef.h>
#include <stdint.h>

/* Octets of the header: RSV FRAG ATYP DST.ADDR DST.PORT. The space left for the application's
 * datagram is less by as much; a name of n octets takes 7 + n. */
#define S5_UDP_HEADER_IPV4 10
#define S5_UDP_HEADER_IPV6 22
#define S5_UDP_HEADER_MAX  (7 + S5_ADDR_NAME_MAX)
#define S5_UDP_HEADER_PEEK 5 /* octets that tell how long a header is */

#define S5_UDP_HEADER_LAST 0x80 /* of FRAG: the last fragment of its sequence */

struct s5_udp_header {
    uint8_t frag;        /* 0: stand-alone */
    uint16_t header_len; /* octets before the data */
    struct s5_addr from; /* where it comes from; S5_ADDR_NONE for a name without octets */
};

size_t s5_udp_header_len(const struct s5_addr *to);

/* W fails when there is no room. */
void s5_udp_header_write(struct s5_writer *w, uint8_t frag, const struct s5_addr *to);

/* The header of a whole datagram of N octets; only as many as a header has are looked at. 0, or
 * -EPROTO: too short, RSV that is not 0000, an unknown ATYP, a FRAG that is no position. */
int s5_udp_header_read(const void *octets, size_t n, struct s5_udp_header *ret);

/* How long the header is that begins with these N octets, without looking whether it is right; 0
 * when they do not tell. */
size_t s5_udp_header_peek_len(const uint8_t *octets, size_t n);

#endif
