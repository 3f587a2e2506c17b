/* A member of a multicast group announces itself to the group (IGMP, MLD). Packets with a source route, of the socket
 * or of one message, go to the hosts of that route first. Both are allowed only where the rules make these addresses
 * direct. What cannot be read or is too short is left to the kernel, which reports it. */
#include "packet_option.h"
#include "endpoint.h"
#include "in_engine.h"
#include "route.h"
#include "user_memory.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stddef.h>
#include <string.h>

#define OPTIONS_MOST 2048 /* octets of a routing header: 8 for each unit of its length, and 8 */

/* --- membership --- */

static const struct {
    int level, name;
    size_t at, len; /* where the group is in the value: octets of an address, or a sockaddr */
} joins[] = {
    {IPPROTO_IP, IP_ADD_MEMBERSHIP, offsetof(struct ip_mreqn, imr_multiaddr), 4},
    {IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, offsetof(struct ip_mreq_source, imr_multiaddr), 4},
    {IPPROTO_IPV6, IPV6_JOIN_GROUP, offsetof(struct ipv6_mreq, ipv6mr_multiaddr), 16},
    {IPPROTO_IP, MCAST_JOIN_GROUP, offsetof(struct group_req, gr_group), sizeof(struct sockaddr_storage)},
    {IPPROTO_IPV6, MCAST_JOIN_GROUP, offsetof(struct group_req, gr_group), sizeof(struct sockaddr_storage)},
    {IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, offsetof(struct group_source_req, gsr_group),
     sizeof(struct sockaddr_storage)},
    {IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, offsetof(struct group_source_req, gsr_group),
     sizeof(struct sockaddr_storage)},
};

/* Rules with ports apply to the port to which FD is bound. */
static uint16_t get_bound_port(struct s5_engine *e, int fd)
{
    struct s5_endpoint own = {.len = sizeof own.v6};
    return e->real->getsockname(fd, &own.any, &own.len) == 0 ? s5_endpoint_port(&own.any) : 0;
}

static int check_group(struct s5_engine *e, int fd, const void *value, size_t len)
{
    struct sockaddr_storage sa;
    uint8_t octets[16];
    struct s5_addr to;
    if (!s5_user_may(value, len, S5_USER_READ))
        return 0;
    if (len == sizeof sa) {
        memcpy(&sa, value, sizeof sa);
        if (s5_addr_from_sockaddr(&to, (struct sockaddr *)&sa, sizeof sa) < 0)
            return 0;
    } else {
        memcpy(octets, value, len == 4 ? 4 : sizeof octets);
        s5_addr_from_octets(&to, octets, len, 0);
    }
    if (!s5_addr_is_multicast(&to))
        return 0;
    to.port = get_bound_port(e, fd);
    return s5_route_direct_only(e, &to, S5_PROTO_UDP, S5_CMD_UDP, "membership in a multicast group");
}

/* --- source routes --- */

static int check_hops(struct s5_engine *e, int fd, const uint8_t *octets, size_t len, size_t size)
{
    int r = 0;
    uint8_t protocol = s5_route_protocol(s5_route_socket(e, fd));
    for (; r == 0 && len >= size; octets += size, len -= size) {
        struct s5_addr to;
        s5_addr_from_octets(&to, octets, size, 0);
        r = s5_route_direct_only(e, &to, protocol, protocol == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT,
                                 "a source route");
    }
    return r;
}

static int check_ip_options(struct s5_engine *e, int fd, const uint8_t *options, size_t len)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i + 2 < len && options[i] != IPOPT_EOL;) {
        size_t n = options[i] == IPOPT_NOP ? 1 : options[i + 1];
        if (n == 0 || n > len - i)
            return r;
        if ((options[i] == IPOPT_LSRR || options[i] == IPOPT_SSRR) && n > 3)
            r = check_hops(e, fd, options + i + 3, n - 3, 4);
        i += n;
    }
    return r;
}

static int check_source_route(struct s5_engine *e, int fd, int level, const void *value, size_t len)
{
    uint8_t options[OPTIONS_MOST + 8];
    if (len > sizeof options || !s5_user_read(options, value, len))
        return 0;
    if (level == IPPROTO_IP)
        return check_ip_options(e, fd, options, len);
    return len > 8 ? check_hops(e, fd, options + 8, len - 8, 16) : 0;
}

int s5_packet_option_check(struct s5_engine *e, int fd, int level, int name, const void *value, socklen_t len)
{
    if (s5_in_engine)
        return 0;
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++)
        if (joins[i].level == level && joins[i].name == name)
            return len < joins[i].at + joins[i].len
                       ? 0
                       : check_group(e, fd, (const uint8_t *)value + joins[i].at, joins[i].len);
    if (level == IPPROTO_IP ? name == IP_OPTIONS : name == IPV6_RTHDR || name == IPV6_2292RTHDR)
        return check_source_route(e, fd, level, value, len);
    return 0;
}

int s5_packet_option_check_message(struct s5_engine *e, int fd, const struct msghdr *m)
{
    struct msghdr *of = (struct msghdr *)(uintptr_t)m;
    const char *end = (const char *)m->msg_control + m->msg_controllen;
    int r = 0;
    if (s5_in_engine || !m->msg_control || m->msg_controllen < sizeof(struct cmsghdr) || s5_user_parts(m) < 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(of); r == 0 && c; c = CMSG_NXTHDR(of, c)) {
        size_t left = (size_t)(end - (const char *)c), len = c->cmsg_len < left ? c->cmsg_len : left;
        bool ip = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RETOPTS;
        bool ipv6 = c->cmsg_level == IPPROTO_IPV6 && (c->cmsg_type == IPV6_RTHDR || c->cmsg_type == IPV6_2292RTHDR);
        if ((ip || ipv6) && len > CMSG_LEN(0))
            r = check_source_route(e, fd, c->cmsg_level, CMSG_DATA(c), len - CMSG_LEN(0));
    }
    return r;
}
