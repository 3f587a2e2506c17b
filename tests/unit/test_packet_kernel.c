/* What the gateway sends into a namespace, in one of the test: ICMP errors, which the kernel tells to the sockets whose
 * packets they are about, and datagrams of any sender. */
#include "inject.h"
#include "inner_sockets.h"
#include "packet_script.h"
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000
#define DEVICE  "wire"
#define PEER    "veth0" /* the name that the kernel chooses */

static int wire; /* receives what is sent to the device */

/* Makes the device, and the one at its other end, where all packets are lost. */
static void make_device(void)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
        char rest[256];
    } m = {.head = {.nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE}};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    m.head.nlmsg_len = NLMSG_LENGTH(sizeof m.info);
    mnl_attr_put_strz(&m.head, IFLA_IFNAME, DEVICE);
    struct nlattr *link = mnl_attr_nest_start(&m.head, IFLA_LINKINFO);
    mnl_attr_put_strz(&m.head, IFLA_INFO_KIND, "veth");
    mnl_attr_nest_end(&m.head, link);
    cr_assert_eq(send(fd, &m, m.head.nlmsg_len, 0), (ssize_t)m.head.nlmsg_len);
    ssize_t n = recv(fd, &m, sizeof m, 0);
    cr_assert_geq(mnl_cb_run(&m, (size_t)n, 0, 0, NULL, NULL), 0, "%s", strerror(errno));
    close(fd);
}

/* Its neighbours need not answer. */
static void set_up(int fd, const char *name, short flags)
{
    struct ifreq device = {.ifr_flags = (short)(IFF_UP | flags)};
    strcpy(device.ifr_name, name);
    cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &device), 0, "%s: %s", name, strerror(errno));
}

static void add_ipv4(int fd)
{
    const struct s5_endpoint own = make_endpoint(FROM4, 0);
    struct ifreq device = {.ifr_name = DEVICE};
    struct rtentry route = {.rt_flags = RTF_UP, .rt_dev = device.ifr_name};
    memcpy(&device.ifr_addr, &own.any, sizeof device.ifr_addr);
    cr_assert_eq(ioctl(fd, SIOCSIFADDR, &device), 0);
    set_up(fd, DEVICE, IFF_NOARP);
    set_up(fd, "lo", 0);
    set_up(fd, PEER, 0);
    route.rt_dst.sa_family = route.rt_genmask.sa_family = route.rt_gateway.sa_family = AF_INET;
    cr_assert_eq(ioctl(fd, SIOCADDRT, &route), 0);
}

static void add_ipv6(int fd)
{
    const struct s5_endpoint own = make_endpoint(FROM6, 0);
    struct in6_ifreq address = {.ifr6_prefixlen = 128, .ifr6_ifindex = (int)if_nametoindex(DEVICE)};
    struct in6_rtmsg route = {.rtmsg_metric = 1, .rtmsg_flags = RTF_UP, .rtmsg_ifindex = address.ifr6_ifindex};
    address.ifr6_addr = own.v6.sin6_addr;
    cr_assert_eq(ioctl(fd, SIOCSIFADDR, &address), 0);
    cr_assert_eq(ioctl(fd, SIOCADDRT, &route), 0);
    for (int i = 0; bind(fd, &own.any, own.len) < 0; i++) { /* the kernel assigns the address later */
        cr_assert(errno == EADDRNOTAVAIL && i < WAIT_MS);
        usleep(1000);
    }
}

/* A namespace whose device takes all packets, and the gateway's sockets in it. */
static void begin(void)
{
    struct handover h;
    int fd;
    cr_assert_eq(unshare(CLONE_NEWNET), 0);
    make_device();
    cr_assert_geq(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0);
    add_ipv4(fd);
    close(fd);
    cr_assert_geq(fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0);
    add_ipv6(fd);
    close(fd);
    cr_assert_geq(wire = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)), 0);
    handover_clear(&h, HANDOVER_BEGIN);
    cr_assert_eq(inner_sockets_create(&h, true), 0);
    inject_begin(&h);
    cr_assert(h.fds[HANDOVER_ICMP4] < 0 && h.fds[HANDOVER_ICMP6] < 0 && h.fds[HANDOVER_RAW4] < 0);
    cr_assert(h.fds[HANDOVER_RAW6] < 0 && h.fds[HANDOVER_UDP6] >= 0);
}

TestSuite(packet_kernel, .init = begin);

static uint16_t get_port(int fd)
{
    struct s5_endpoint own = {.len = sizeof own.v6};
    cr_assert_eq(getsockname(fd, &own.any, &own.len), 0);
    return s5_endpoint_port(&own.any);
}

/* Reads a packet that was sent by the connected socket FD. */
static void receive_packet(struct packet *ret, int fd)
{
    const uint16_t port = get_port(fd);
    for (;;) {
        struct pollfd p = {.fd = wire, .events = POLLIN};
        uint8_t octets[2048];
        cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
        ssize_t n = recv(wire, octets, sizeof octets, 0);
        if (n > 0 && packet_read(ret, octets, (size_t)n) && s5_endpoint_port(&ret->from.any) == port &&
            s5_endpoint_port(&ret->to.any) == TO_PORT)
            return;
    }
}

/* Sends a packet from a socket of TYPE to TO, and the error about it; the head is MADE again, or the one that was sent.
 * Returns the errno that the socket gets. */
static int get_error(const char *to, int type, int error, bool made)
{
    const struct s5_endpoint at = make_endpoint(to, TO_PORT);
    struct packet p, again;
    int fd = socket(at.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result = 0;
    socklen_t len = sizeof result;
    cr_assert(connect(fd, &at.any, at.len) == 0 || errno == EINPROGRESS);
    if (type == SOCK_DGRAM)
        cr_assert_eq(send(fd, "hello", 5, 0), 5);
    receive_packet(&p, fd);
    if (made)
        packet_make_udp(&again, &p.from, &p.to, 5);
    inject_error(made ? &again : &p, error);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "the socket is told nothing about %d", error);
    cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len), 0);
    close(fd);
    return result;
}

static const struct {
    int error, tcp4, tcp6, udp4, udp6;
} rows[] = {
    {ENETUNREACH, ENETUNREACH, ENETUNREACH, ENETUNREACH, EACCES},
    {EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
    {ETIMEDOUT, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
    {ECONNREFUSED, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, ECONNREFUSED},
    {EACCES, EHOSTUNREACH, EACCES, EHOSTUNREACH, EACCES},
};

Test(packet_kernel, connections)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(get_error(TO4, SOCK_STREAM, rows[i].error, false), rows[i].tcp4, "row %zu", i);
        cr_expect_eq(get_error(TO6, SOCK_STREAM, rows[i].error, false), rows[i].tcp6, "row %zu", i);
    }
}

Test(packet_kernel, datagrams)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int made = 0; made < 2; made++) {
            cr_expect_eq(get_error(TO4, SOCK_DGRAM, rows[i].error, made), rows[i].udp4, "row %zu", i);
            cr_expect_eq(get_error(TO6, SOCK_DGRAM, rows[i].error, made), rows[i].udp6, "row %zu", i);
        }
}

/* The kernel finds the socket by what is quoted, without the options of the packet. */
Test(packet_kernel, connection_with_options)
{
    const struct s5_endpoint at = make_endpoint(TO4, TO_PORT);
    static const uint8_t options[] = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP};
    struct packet p;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result = 0;
    socklen_t len = sizeof result;
    cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, sizeof options), 0);
    cr_assert(connect(fd, &at.any, at.len) < 0 && errno == EINPROGRESS);
    receive_packet(&p, fd);
    inject_error(&p, ENETUNREACH);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
    cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len), 0);
    cr_assert_eq(result, ENETUNREACH);
    close(fd);
}

/* Injects a datagram of N octets from FROM to the socket FD, bound to OWN, which receives it. */
static void expect_datagram(int fd, const struct s5_endpoint *own, const struct s5_endpoint *from, size_t n)
{
    static uint8_t octets[INJECT_HEAD + 65535], got[65535];
    struct s5_endpoint sender = {.len = sizeof sender.v6};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    memset(octets, 0xff, INJECT_HEAD);
    for (size_t i = 0; i < n; i++)
        octets[INJECT_HEAD + i] = (uint8_t)(i * 7 + n);
    inject_datagram(from, own, octets, n);
    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "%zu octets", n);
    cr_assert_eq(recvfrom(fd, got, sizeof got, 0, &sender.any, &sender.len), (ssize_t)n);
    cr_assert_eq(memcmp(got, octets + INJECT_HEAD, n), 0);
    cr_assert_eq(sender.len, from->len);
    cr_assert_eq(memcmp(&sender.any, &from->any, from->len), 0);
}

Test(packet_kernel, datagrams_of_other_senders)
{
    static const size_t sizes[] = {0, 1, 2, 511, 1400, 1473, 9001, 65507};
    for (int six = 0; six < 2; six++) {
        const struct s5_endpoint own = make_endpoint(six ? FROM6 : FROM4, FROM_PORT),
                                 peer = make_endpoint(six ? TO6 : TO4, TO_PORT),
                                 other = make_endpoint(six ? "2001:db8::1" : "198.51.100.1", 1);
        int fd = socket(own.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, &own.any, own.len), 0);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            expect_datagram(fd, &own, &peer, sizes[i]);
            expect_datagram(fd, &own, &other, sizes[i]);
        }
        cr_assert_eq(connect(fd, &peer.any, peer.len), 0);
        inject_datagram(&other, &own, (uint8_t[INJECT_HEAD + 4]){0}, 4);
        expect_datagram(fd, &own, &peer, 5);
        close(fd);
    }
}
