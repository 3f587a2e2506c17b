/* The only layout of the header. RSV is checked: a datagram with a nonzero RSV does not begin with a header and was
 * not sent by the relay. */
#include "udp_header.h"
#include "wire.h"
#include <errno.h>

size_t s5_udp_header_len(const struct s5_addr *to)
{
    return to->kind == S5_ADDR_NAME   ? 7u + to->name_len
           : to->kind == S5_ADDR_IPV6 ? S5_UDP_HEADER_IPV6
                                      : S5_UDP_HEADER_IPV4;
}

void s5_udp_header_write(struct s5_writer *w, uint8_t frag, const struct s5_addr *to)
{
    s5_write_u16(w, 0);
    s5_write_u8(w, frag);
    s5_wire_write_address(w, to);
}

int s5_udp_header_read(const void *octets, size_t n, struct s5_udp_header *ret)
{
    struct s5_reader r = s5_reader_init(octets, n);
    uint16_t rsv = s5_read_u16(&r);
    uint8_t frag = s5_read_u8(&r);
    if (r.failed || rsv != 0 || frag == S5_UDP_HEADER_LAST || s5_wire_read_address(&r, &ret->from) < 0)
        return -EPROTO;
    ret->frag = frag;
    ret->header_len = (uint16_t)(n - r.left);
    return 0;
}

size_t s5_udp_header_peek_len(const uint8_t *octets, size_t n)
{
    if (n < S5_UDP_HEADER_PEEK)
        return 0;
    switch (octets[3]) {
    case S5_WIRE_IPV4:
        return S5_UDP_HEADER_IPV4;
    case S5_WIRE_IPV6:
        return S5_UDP_HEADER_IPV6;
    case S5_WIRE_NAME:
        return 7u + octets[4];
    default:
        return 0;
    }
}
