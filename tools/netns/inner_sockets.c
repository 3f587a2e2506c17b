#include "inner_sockets.h"
#include "endpoint.h"
#include "rules.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* A transparent socket may have any local address, and receives what the rules send to it. */
static int make_transparent(int fd, int family)
{
    return family == AF_INET ? set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
                             : set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
}

static int bind_transparent(int fd, int family)
{
    const struct s5_endpoint at = s5_endpoint_loopback(family, RULES_PORT);
    return bind(fd, &at.any, at.len) < 0 ? -errno : 0;
}

static int create_transparent(int family, int type, int *ret)
{
    int fd = *ret = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = make_transparent(fd, family);
    if (result == 0 && family == AF_INET6)
        result = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (result == 0 && type == SOCK_DGRAM)
        result = family == AF_INET ? set_option(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
                                   : set_option(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1);
    if (result == 0)
        result = bind_transparent(fd, family);
    if (result == 0 && type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
        result = -errno;
    return result;
}

/* Raw sockets only send: a filter drops all that would arrive. */
static int create_raw(int family, int protocol, int *ret)
{
    int fd = *ret = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    int result = make_transparent(fd, family);
    if (result == 0 && protocol == IPPROTO_UDP && family == AF_INET6)
        result = set_option(fd, IPPROTO_IPV6, IPV6_CHECKSUM, 6); /* the kernel computes it there */
    struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog filter = {1, &drop};
    if (result == 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0)
        result = -errno;
    return result;
}

static int create_family(struct handover *h, int family)
{
    int six = family == AF_INET6;
    int result = create_transparent(family, SOCK_STREAM, &h->fds[HANDOVER_TCP4 + six]);
    if (result == 0)
        result = create_transparent(family, SOCK_DGRAM, &h->fds[HANDOVER_UDP4 + six]);
    if (result == 0)
        result = create_raw(family, IPPROTO_UDP, &h->fds[HANDOVER_RAW4 + six]);
    if (result == 0)
        result = create_raw(family, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP, &h->fds[HANDOVER_ICMP4 + six]);
    return result;
}

static int create_netlink(int protocol, int *ret)
{
    struct sockaddr_nl at = {.nl_family = AF_NETLINK};
    *ret = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    return *ret < 0 || bind(*ret, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

int inner_sockets_create(struct handover *ret, bool ipv6)
{
    int result = create_netlink(NETLINK_NETFILTER, &ret->fds[HANDOVER_QUEUE]);
    if (result == 0)
        result = create_netlink(NETLINK_SOCK_DIAG, &ret->fds[HANDOVER_DIAG]);
    if (result == 0)
        result = create_netlink(NETLINK_SOCK_DIAG, &ret->fds[HANDOVER_OWNERS]);
    if (result == 0)
        result = create_family(ret, AF_INET);
    if (result == 0 && ipv6)
        result = create_family(ret, AF_INET6);
    return result;
}
