/* Ways by socket options that make the kernel send a packet, or change where packets go. */
#include "way.h"
#include <linux/seg6.h>
#include <net/if.h>

/* The kernel reports the new member of a group to the routers of the link. */
static _Noreturn void set_option(int family, int level, int option, const void *value, size_t size)
{
    int fd = way_socket(family, SOCK_DGRAM, 0);
    long result = setsockopt(fd, level, option, value, (socklen_t)size);
    int error = errno;
    usleep(150000); /* the report is sent a moment later, if the socket still exists */
    errno = error;
    way_done("setsockopt", result);
}

static void join_ip(void)
{
    struct ip_mreqn group = {.imr_multiaddr = target.group4.sin_addr,
                             .imr_ifindex = (int)way_device()};
    set_option(AF_INET, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
}

static void join_ip_source(void)
{
    struct ip_mreq_source group = {.imr_multiaddr = target.group4.sin_addr,
                                   .imr_sourceaddr = target.v4.sin_addr};
    set_option(AF_INET, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &group, sizeof group);
}

static void join_mcast(void)
{
    struct group_req group = {.gr_interface = way_device()};
    memcpy(&group.gr_group, &target.group4, sizeof target.group4);
    set_option(AF_INET, IPPROTO_IP, MCAST_JOIN_GROUP, &group, sizeof group);
}

static void join_mcast_source(void)
{
    struct group_source_req group = {.gsr_interface = way_device()};
    memcpy(&group.gsr_group, &target.group4, sizeof target.group4);
    memcpy(&group.gsr_source, &target.v4, sizeof target.v4);
    set_option(AF_INET, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &group, sizeof group);
}

static void join_ipv6(void)
{
    struct ipv6_mreq group = {target.group6.sin6_addr, way_device()};
    set_option(AF_INET6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group, sizeof group);
}

static void join_mcast6(void)
{
    struct group_req group = {.gr_interface = way_device()};
    memcpy(&group.gr_group, &target.group6, sizeof target.group6);
    set_option(AF_INET6, IPPROTO_IPV6, MCAST_JOIN_GROUP, &group, sizeof group);
}

static void join_mcast6_source(void)
{
    struct group_source_req group = {.gsr_interface = way_device()};
    memcpy(&group.gsr_group, &target.group6, sizeof target.group6);
    memcpy(&group.gsr_source, &target.v6, sizeof target.v6);
    set_option(AF_INET6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, &group, sizeof group);
}

/* An IPv4 group through an IPv6 socket. */
static void join_ip_by_socket6(void)
{
    struct ip_mreqn group = {.imr_multiaddr = target.group4.sin_addr,
                             .imr_ifindex = (int)way_device()};
    set_option(AF_INET6, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
}

static void join_instruction(void)
{
    struct ip_mreqn group = {.imr_multiaddr = target.group4.sin_addr,
                             .imr_ifindex = (int)way_device()};
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    long result =
        WAY_CALL(SYS_setsockopt, fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group, 0);
    usleep(150000);
    way_end("setsockopt", result < 0 ? (int)-result : 0);
}

/* The new anycast address has a group of its own. The kernel reports its membership. */
static void join_anycast(void)
{
    struct ipv6_mreq address = {target.v6.sin6_addr, way_device()};
    inet_pton(AF_INET6, "fd88:9::63:0", &address.ipv6mr_multiaddr); /* an address of the link */
    memcpy(&address.ipv6mr_multiaddr.s6_addr[14], &target.v6.sin6_addr.s6_addr[14], 2);
    set_option(AF_INET6, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, &address, sizeof address);
}

/* A loose source route: the SYN goes to the first hop, the address of connect() is the last one. */
static void source_route_connect(void)
{
    uint8_t route[8] = {1 /* no operation */, 131 /* loose route */, 7, 4};
    const struct sockaddr_in *v4 = &target.v4;
    memcpy(route + 4, &v4->sin_addr, 4);
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route) != 0)
        way_end("IP_OPTIONS", errno);
    struct sockaddr_in to = *v4;
    to.sin_addr.s_addr ^= htonl(0x00010000);
    long result = connect(fd, (struct sockaddr *)&to, sizeof to);
    int error = errno;
    struct pollfd done = {.fd = fd, .events = POLLOUT};
    poll(&done, 1, 100);
    errno = error;
    way_done("connect", result);
}

/* The same with an address that the rules lead directly, and a datagram. */
static void source_route_loopback(void)
{
    uint8_t route[8] = {1, 131, 7, 4};
    const struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0x7f000001)}};
    memcpy(route + 4, &target.v4.sin_addr, 4);
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route) != 0)
        way_end("IP_OPTIONS", errno);
    way_done("sendto", sendto(fd, TEXT, 0, (const struct sockaddr *)&loopback, sizeof loopback));
}

/* A routing header with one segment: the target. */
static void segment_route(void)
{
    struct {
        struct ipv6_sr_hdr header;
        struct in6_addr segments[2];
    } route = {.header = {.hdrlen = 4, .type = 4, .segments_left = 1, .first_segment = 1}};
    route.segments[1] = target.v6.sin6_addr;
    int fd = way_socket(AF_INET6, SOCK_DGRAM, 0);
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, &route, sizeof route) != 0)
        way_end("IPV6_RTHDR", errno);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    way_done("sendto", sendto(fd, TEXT, 0, (struct sockaddr *)&to, sizeof to));
}

static void bound_to_device(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, DEVICE, sizeof DEVICE);
    way_done("connect", connect(fd, V4));
}

static void bound_to_device_datagram(void)
{
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, DEVICE, sizeof DEVICE);
    way_done("sendto", sendto(fd, TEXT, 0, V4));
}

/* An IPv6 socket that is turned into an IPv4 socket. */
static void family_changed(void)
{
    int fd = way_socket(AF_INET6, SOCK_DGRAM, 0), family = AF_INET;
    connect(fd, (struct sockaddr *)&target.mapped, sizeof target.mapped);
    way_need("IPV6_ADDRFORM", setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &family, sizeof family));
    way_done("sendto", sendto(fd, TEXT, 0, V4));
}

static void sctp_connectx(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
    way_done("setsockopt", setsockopt(fd, IPPROTO_SCTP, 107, &target.v4, sizeof target.v4));
}

const struct way option_ways[] = {
    {"join_ip", join_ip},
    {"join_ip_source", join_ip_source},
    {"join_mcast", join_mcast},
    {"join_mcast_source", join_mcast_source},
    {"join_ipv6", join_ipv6},
    {"join_mcast6", join_mcast6},
    {"join_mcast6_source", join_mcast6_source},
    {"join_ip_by_socket6", join_ip_by_socket6},
    {"join_instruction", join_instruction},
    {"join_anycast", join_anycast},
    {"source_route_connect", source_route_connect},
    {"source_route_loopback", source_route_loopback},
    {"segment_route", segment_route},
    {"bound_to_device", bound_to_device},
    {"bound_to_device_datagram", bound_to_device_datagram},
    {"family_changed", family_changed},
    {"sctp_connectx", sctp_connectx},
    {0},
};
