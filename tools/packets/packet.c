#include "packet.h"
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define IPV4_HEAD  20
#define IPV6_HEAD  40
#define EXTENSIONS 8 /* headers between that of IPv6 and the transport's, at most */
#define PORTS      8 /* octets of a transport header that are needed */

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void write_u16(uint8_t *p, size_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static bool has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* Reads the transport header at P, N octets, behind the IP header HEAD of SIZE octets. */
static bool read_transport(struct packet *ret, const uint8_t *head, size_t size, const uint8_t *p, size_t n)
{
    if (n < PORTS || (!has_ports(ret->protocol) && ret->protocol != IPPROTO_ICMP && ret->protocol != IPPROTO_ICMPV6))
        return false;
    if (has_ports(ret->protocol)) {
        ret->from.v4.sin_port = htons(read_u16(p)); /* the port is at the same offset in both families */
        ret->to.v4.sin_port = htons(read_u16(p + 2));
    }
    memcpy(ret->quoted, head, size);
    memcpy(ret->quoted + size, p, PORTS);
    ret->quoted_len = (uint8_t)(size + PORTS);
    return true;
}

/* A quoted header has no options: the length in it says so, and its checksum is not checked. */
static bool read_ipv4(struct packet *ret, const uint8_t *p, size_t n)
{
    size_t size = (size_t)(p[0] & 15) * 4;
    uint8_t head[IPV4_HEAD];
    if (size < IPV4_HEAD || n < size || read_u16(p + 6) & 0x1fff)
        return false;
    memcpy(head, p, sizeof(head));
    head[0] = 0x45;
    ret->protocol = p[9];
    s5_endpoint_from_octets(&ret->from, AF_INET, p + 12, 0);
    s5_endpoint_from_octets(&ret->to, AF_INET, p + 16, 0);
    return read_transport(ret, head, sizeof(head), p + size, n - size);
}

static bool is_extension(uint8_t header)
{
    return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS;
}

static bool read_ipv6(struct packet *ret, const uint8_t *p, size_t n)
{
    uint8_t head[IPV6_HEAD];
    size_t at = IPV6_HEAD;
    if (n < IPV6_HEAD)
        return false;
    memcpy(head, p, sizeof(head));
    for (int i = 0; is_extension(head[6]); i++) {
        if (i == EXTENSIONS || n - at < 8)
            return false;
        size_t size = 8 + (size_t)p[at + 1] * 8;
        head[6] = p[at]; /* the next header */
        if (n - at < size)
            return false;
        at += size;
    }
    ret->protocol = head[6];
    s5_endpoint_from_octets(&ret->from, AF_INET6, p + 8, 0);
    s5_endpoint_from_octets(&ret->to, AF_INET6, p + 24, 0);
    return read_transport(ret, head, sizeof(head), p + at, n - at);
}

bool packet_read(struct packet *ret, const uint8_t *p, size_t n)
{
    memset(ret, 0, sizeof(*ret));
    if (n < IPV4_HEAD)
        return false;
    return p[0] >> 4 == 4 ? read_ipv4(ret, p, n) : p[0] >> 4 == 6 && read_ipv6(ret, p, n);
}

void packet_make_udp(struct packet *ret, const struct s5_endpoint *from, const struct s5_endpoint *to, size_t size)
{
    uint8_t *head = ret->quoted, *udp;
    memset(ret, 0, sizeof(*ret));
    ret->protocol = IPPROTO_UDP;
    ret->from = *from;
    ret->to = *to;
    if (from->any.sa_family == AF_INET) {
        head[0] = 0x45;
        write_u16(head + 2, IPV4_HEAD + PORTS + size);
        head[8] = 64;
        head[9] = IPPROTO_UDP;
        memcpy(head + 12, &from->v4.sin_addr, 4);
        memcpy(head + 16, &to->v4.sin_addr, 4);
        udp = head + IPV4_HEAD;
    } else {
        head[0] = 0x60;
        write_u16(head + 4, PORTS + size);
        head[6] = IPPROTO_UDP;
        head[7] = 64;
        memcpy(head + 8, &from->v6.sin6_addr, 16);
        memcpy(head + 24, &to->v6.sin6_addr, 16);
        udp = head + IPV6_HEAD;
    }
    memcpy(udp, &from->v4.sin_port, 2);
    memcpy(udp + 2, &to->v4.sin_port, 2);
    write_u16(udp + 4, PORTS + size);
    ret->quoted_len = (uint8_t)(udp + PORTS - head);
}

/* ---- ICMP errors ---- */

struct code {
    uint8_t v4, v6;
};

/* The kernel does not tell a UDP socket about most codes, unless it has set IP_RECVERR. IPv4 has other codes for the
 * same errors, which it tells. Of IPv6 it tells the codes for EACCES and ECONNREFUSED alone. */
static struct code get_code(const struct packet *p, int error)
{
    bool udp = p->protocol == IPPROTO_UDP;
    switch (error) {
    case ENETUNREACH:
    case ENETDOWN:
    case EAFNOSUPPORT:
        return udp ? (struct code){ICMP_NET_UNKNOWN, ICMP6_DST_UNREACH_ADMIN}
                   : (struct code){ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE};
    case ECONNREFUSED:
        if (udp)
            return (struct code){ICMP_PORT_UNREACH, ICMP6_DST_UNREACH_NOPORT};
        break;
    case EACCES:
    case EPERM:
        return (struct code){ICMP_PKT_FILTERED, ICMP6_DST_UNREACH_ADMIN};
    default:
        break;
    }
    return udp ? (struct code){ICMP_HOST_ANO, ICMP6_DST_UNREACH_ADMIN}
               : (struct code){ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR};
}

static uint16_t compute_checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += read_u16(p + i);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t) ~(sum + (sum >> 16));
}

size_t packet_write_error(const struct packet *p, int error, uint8_t ret[static PACKET_ERROR_MAX])
{
    struct code code = get_code(p, error);
    size_t size = 8 + (size_t)p->quoted_len;
    bool four = p->from.any.sa_family == AF_INET;
    memset(ret, 0, 8);
    memcpy(ret + 8, p->quoted, p->quoted_len);
    ret[0] = four ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
    ret[1] = four ? code.v4 : code.v6;
    if (four)
        write_u16(ret + 2, compute_checksum(ret, size));
    return size;
}
