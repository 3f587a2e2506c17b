/* The header of RFC 1928 section 7 in front of every datagram to and from a relay. */
#ifndef S5_UDP_HEADER_H
#define S5_UDP_HEADER_H

#include "addr.h"
#include "bytes.h"
#include <stddef.h>
#include <stdint.h>

/* Octets of the header: RSV FRAG ATYP DST.ADDR DST.PORT. The space for the application's datagram is smaller by
 * this number. The header with a name of n octets has 7 + n octets. */
#define S5_UDP_HEADER_IPV4 10
#define S5_UDP_HEADER_IPV6 22
#define S5_UDP_HEADER_MAX  (7 + S5_ADDR_NAME_MAX)
#define S5_UDP_HEADER_PEEK 5 /* octets that determine the length of a header */

#define S5_UDP_HEADER_LAST 0x80 /* bit of FRAG: the last fragment of its sequence */

struct s5_udp_header {
    uint8_t frag;        /* 0: stand-alone */
    uint16_t header_len; /* octets before the data */
    struct s5_addr from; /* the sender; S5_ADDR_NONE for a name without octets */
};

size_t s5_udp_header_len(const struct s5_addr *to);

/* W fails if the header does not fit. */
void s5_udp_header_write(struct s5_writer *w, uint8_t frag, const struct s5_addr *to);

/* Reads the header of a whole datagram of N octets. Only the octets of the header are read. Returns 0, or -EPROTO:
 * too short, RSV is not 0000, an unknown ATYP, a FRAG that is not a position. */
int s5_udp_header_read(const void *octets, size_t n, struct s5_udp_header *ret);

/* The length of the header that begins with these N octets, without a check that it is valid; 0 if they do not
 * determine it. */
size_t s5_udp_header_peek_len(const uint8_t *octets, size_t n);

#endif
