/* Ways by datagrams, through functions of libc. */
#include "way.h"
#include <linux/udp.h>
#include <sys/uio.h>

static void send_datagram(int family, int protocol, const void *address, socklen_t length,
                          int flags)
{
    int fd = way_socket(family, SOCK_DGRAM, protocol);
    way_done("sendto", sendto(fd, TEXT, flags, address, length));
}

/* A message to ADDRESS, in a buffer of 256 octets. LENGTH is the length that the kernel is given.
 */
static struct msghdr message_to(const void *address, size_t size, socklen_t length)
{
    static char name[256];
    static struct iovec part;
    memcpy(name, address, size);
    part = (struct iovec){target.text, target.length};
    return (struct msghdr){
        .msg_name = name, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};
}

static void send_message(int family, struct msghdr message)
{
    int fd = way_socket(family, SOCK_DGRAM, 0);
    way_done("sendmsg", sendmsg(fd, &message, 0));
}

static void udp4_sendto(void)
{
    send_datagram(AF_INET, 0, V4, 0);
}

static void udp6_sendto(void)
{
    send_datagram(AF_INET6, 0, V6, 0);
}

static void udp_mapped_sendto(void)
{
    send_datagram(AF_INET6, 0, &target.mapped, sizeof target.mapped, 0);
}

static void udp6_sendto_inet(void)
{
    send_datagram(AF_INET6, 0, V4, 0);
}

/* The kernel takes an IPv4 address whose family is AF_UNSPEC. */
static void udp4_sendto_unspec(void)
{
    struct sockaddr_in to = target.v4;
    to.sin_family = AF_UNSPEC;
    send_datagram(AF_INET, 0, &to, sizeof to, 0);
}

static void udp4_sendto_length_15(void)
{
    send_datagram(AF_INET, 0, &target.v4, 15, 0);
}

static void udp4_sendto_length_110(void)
{
    char longer[110] = {0};
    memcpy(longer, &target.v4, sizeof target.v4);
    send_datagram(AF_INET, 0, longer, sizeof longer, 0);
}

static void udp4_sendto_length_128(void)
{
    char longer[128] = {0};
    memcpy(longer, &target.v4, sizeof target.v4);
    send_datagram(AF_INET, 0, longer, sizeof longer, 0);
}

static void udp4_sendto_length_129(void)
{
    char longer[129] = {0};
    memcpy(longer, &target.v4, sizeof target.v4);
    send_datagram(AF_INET, 0, longer, sizeof longer, 0);
}

static void udp6_sendto_length_24(void)
{
    send_datagram(AF_INET6, 0, &target.v6, 24, 0);
}

static void udp4_corked(void)
{
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    if (sendto(fd, TEXT, MSG_MORE, V4) < 0)
        way_end("sendto", errno);
    way_done("send", send(fd, "", 0, 0));
}

static void udp4_sendmsg(void)
{
    send_message(AF_INET, message_to(V4, sizeof target.v4));
}

static void udp6_sendmsg(void)
{
    send_message(AF_INET6, message_to(V6, sizeof target.v6));
}

static void udp4_long_name_129(void)
{
    send_message(AF_INET, message_to(V4, 129));
}

static void udp4_long_name_200(void)
{
    send_message(AF_INET, message_to(V4, 200));
}

static void udp6_long_name_200(void)
{
    send_message(AF_INET6, message_to(V6, 200));
}

static void udp4_longest_name(void)
{
    send_message(AF_INET, message_to(V4, 0x7fffffff));
}

static void udp4_sendmmsg(void)
{
    struct mmsghdr messages[2] = {{.msg_hdr = message_to(V4, sizeof target.v4)}};
    messages[1] = messages[0];
    way_done("sendmmsg", sendmmsg(way_socket(AF_INET, SOCK_DGRAM, 0), messages, 2, 0));
}

static void udp4_sendmmsg_long_name(void)
{
    struct mmsghdr message = {.msg_hdr = message_to(V4, 200)};
    way_done("sendmmsg", sendmmsg(way_socket(AF_INET, SOCK_DGRAM, 0), &message, 1, 0));
}

/* A message with the control data CONTROL, of SIZE octets. */
static void send_with_control(int family, int level, int type, const void *data, size_t size)
{
    union {
        struct cmsghdr header;
        char octets[128];
    } control = {.header = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type}};
    struct msghdr message =
        family == AF_INET ? message_to(V4, sizeof target.v4) : message_to(V6, sizeof target.v6);
    memcpy(CMSG_DATA(&control.header), data, size);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(size);
    send_message(family, message);
}

static void udp4_pktinfo(void)
{
    struct in_pktinfo by = {.ipi_ifindex = (int)way_device()};
    send_with_control(AF_INET, IPPROTO_IP, IP_PKTINFO, &by, sizeof by);
}

static void udp6_pktinfo(void)
{
    struct in6_pktinfo by = {.ipi6_ifindex = way_device()};
    send_with_control(AF_INET6, IPPROTO_IPV6, IPV6_PKTINFO, &by, sizeof by);
}

static void udp4_segments(void)
{
    uint16_t size = 4;
    send_with_control(AF_INET, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
}

/* A datagram to HOP with a source route to the target. */
static void udp4_control_route(void)
{
    uint8_t route[8] = {1, 131, 7, 4, 0, 0, 0, 0};
    memcpy(route + 4, &target.v4.sin_addr, 4);
    send_with_control(AF_INET, IPPROTO_IP, IP_RETOPTS, route, sizeof route);
}

static void udp4_connect_send(void)
{
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    connect(fd, V4);
    way_done("send", send(fd, TEXT, 0));
}

static void udp6_connect_write(void)
{
    int fd = way_socket(AF_INET6, SOCK_DGRAM, 0);
    connect(fd, V6);
    way_done("write", write(fd, TEXT));
}

static void udp6_connect_inet(void)
{
    int fd = way_socket(AF_INET6, SOCK_DGRAM, 0);
    connect(fd, V4);
    way_done("send", send(fd, TEXT, 0));
}

static void udp4_reconnect(void)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0);
    connect(fd, (struct sockaddr *)&loopback, sizeof loopback);
    connect(fd, &none, sizeof none);
    way_done("sendto", sendto(fd, TEXT, 0, V4));
}

static void udp4_broadcast(void)
{
    struct sockaddr_in all = target.v4;
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    all.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    way_done("sendto", sendto(fd, TEXT, 0, (struct sockaddr *)&all, sizeof all));
}

static void udp4_multicast(void)
{
    send_datagram(AF_INET, 0, &target.group4, sizeof target.group4, 0);
}

static void udp6_multicast(void)
{
    struct sockaddr_in6 to = target.group6;
    to.sin6_addr.s6_addr[1] = 2; /* link-local scope */
    to.sin6_scope_id = way_device();
    send_datagram(AF_INET6, 0, &to, sizeof to, 0);
}

static void udplite(void)
{
    send_datagram(AF_INET, IPPROTO_UDPLITE, V4, 0);
}

static void udplite6(void)
{
    send_datagram(AF_INET6, IPPROTO_UDPLITE, V6, 0);
}

static void udplite_connect(void)
{
    int fd = way_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
    connect(fd, V4);
    way_done("write", write(fd, TEXT));
}

/* An echo request on a socket for which no rights are needed. */
static void ping4(void)
{
    char request[32] = {8};
    memcpy(request + 8, TEXT);
    int fd = way_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    way_done("sendto", sendto(fd, request, sizeof request, 0, V4));
}

static void ping6(void)
{
    char request[32] = {(char)128};
    memcpy(request + 8, TEXT);
    int fd = way_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
    way_done("sendto", sendto(fd, request, sizeof request, 0, V6));
}

static void ping_connect(void)
{
    char request[32] = {8};
    memcpy(request + 8, TEXT);
    int fd = way_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    connect(fd, V4);
    way_done("write", write(fd, request, sizeof request));
}

const struct way datagram_ways[] = {
    {"udp4_sendto", udp4_sendto},
    {"udp6_sendto", udp6_sendto},
    {"udp_mapped_sendto", udp_mapped_sendto},
    {"udp6_sendto_inet", udp6_sendto_inet},
    {"udp4_sendto_unspec", udp4_sendto_unspec},
    {"udp4_sendto_length_15", udp4_sendto_length_15},
    {"udp4_sendto_length_110", udp4_sendto_length_110},
    {"udp4_sendto_length_128", udp4_sendto_length_128},
    {"udp4_sendto_length_129", udp4_sendto_length_129},
    {"udp6_sendto_length_24", udp6_sendto_length_24},
    {"udp4_corked", udp4_corked},
    {"udp4_sendmsg", udp4_sendmsg},
    {"udp6_sendmsg", udp6_sendmsg},
    {"udp4_long_name_129", udp4_long_name_129},
    {"udp4_long_name_200", udp4_long_name_200},
    {"udp6_long_name_200", udp6_long_name_200},
    {"udp4_longest_name", udp4_longest_name},
    {"udp4_sendmmsg", udp4_sendmmsg},
    {"udp4_sendmmsg_long_name", udp4_sendmmsg_long_name},
    {"udp4_pktinfo", udp4_pktinfo},
    {"udp6_pktinfo", udp6_pktinfo},
    {"udp4_segments", udp4_segments},
    {"udp4_control_route", udp4_control_route},
    {"udp4_connect_send", udp4_connect_send},
    {"udp6_connect_write", udp6_connect_write},
    {"udp6_connect_inet", udp6_connect_inet},
    {"udp4_reconnect", udp4_reconnect},
    {"udp4_broadcast", udp4_broadcast},
    {"udp4_multicast", udp4_multicast},
    {"udp6_multicast", udp6_multicast},
    {"udplite", udplite},
    {"udplite6", udplite6},
    {"udplite_connect", udplite_connect},
    {"ping4", ping4},
    {"ping6", ping6},
    {"ping_connect", ping_connect},
    {0},
};
