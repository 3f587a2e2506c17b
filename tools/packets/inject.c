#include "inject.h"
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static int icmp[2] = {-1, -1}, udp[2] = {-1, -1}; /* by family: IPv4, IPv6 */

void inject_begin(struct handover *h)
{
    for (int i = 0; i < 2; i++) {
        icmp[i] = h->fds[HANDOVER_ICMP4 + i];
        udp[i] = h->fds[HANDOVER_RAW4 + i];
        h->fds[HANDOVER_ICMP4 + i] = h->fds[HANDOVER_RAW4 + i] = -1;
    }
}

/* A raw socket of IPv6 takes no port. */
static struct s5_endpoint without_port(const struct s5_endpoint *to)
{
    struct s5_endpoint at = *to;
    at.v4.sin_port = 0;
    return at;
}

void inject_error(const struct packet *p, int error)
{
    uint8_t message[PACKET_ERROR_MAX];
    struct s5_endpoint at = without_port(&p->from);
    size_t n = packet_write_error(p, error, message);
    (void)!sendto(icmp[at.any.sa_family == AF_INET6], message, n, MSG_DONTWAIT, &at.any, at.len);
}

static void write_head(uint8_t head[static INJECT_HEAD], const struct s5_endpoint *from, const struct s5_endpoint *to,
                       size_t n)
{
    uint16_t words[4] = {from->v4.sin_port, to->v4.sin_port, htons((uint16_t)(n + INJECT_HEAD)), 0};
    memcpy(head, words, sizeof(words));
}

void inject_datagram(const struct s5_endpoint *from, const struct s5_endpoint *to, uint8_t *octets, size_t n)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct s5_endpoint at = without_port(to);
    bool six = at.any.sa_family == AF_INET6;
    struct iovec iov = {octets, n + INJECT_HEAD};
    struct msghdr m = {
        .msg_name = &at.any, .msg_namelen = at.len, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    memset(&control, 0, sizeof(control));
    write_head(octets, from, to, n);
    if (six) {
        struct in6_pktinfo info = {.ipi6_addr = from->v6.sin6_addr};
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        m.msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        struct in_pktinfo info = {.ipi_spec_dst = from->v4.sin_addr};
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        m.msg_controllen = CMSG_SPACE(sizeof(info));
    }
    (void)!sendmsg(udp[six], &m, MSG_DONTWAIT);
}
