#include "diag.h"
#include "loop.h"
#include "message.h"
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BUFFER (1 << 20)
#define ROUNDS 64

static struct watch watch = {.fd = -1, .lasting = true};
static const struct diag_events *events;
static const uint8_t families[] = {AF_INET, AF_INET6};
static unsigned dumping; /* 1 + index of the family whose listeners are being dumped; 0: none */

static void request_family(unsigned index)
{
    char buf[256];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(m, sizeof(*q));
    q->sdiag_family = families[index];
    q->sdiag_protocol = IPPROTO_TCP;
    q->idiag_states = 1u << TCP_LISTEN;
    dumping = send(watch.fd, m, m->nlmsg_len, MSG_NOSIGNAL) < 0 ? 0 : index + 1;
}

void diag_request_listeners(void)
{
    if (dumping == 0 && watch.fd >= 0)
        request_family(0);
}

/* Stores ADDRESS and PORT, both in network order, of FAMILY in RET. A socket of IPv6 may have an IPv4 address: it is
 * stored as that of its packets. */
static void set_endpoint(struct s5_endpoint *ret, uint8_t family, const void *address, uint16_t port)
{
    struct in6_addr six;
    memcpy(&six, address, sizeof(six));
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six))
        s5_endpoint_from_octets(ret, AF_INET, &six.s6_addr[12], port);
    else
        s5_endpoint_from_octets(ret, family, address, port);
}

/* What was closed comes unrequested, with its protocol in an attribute. */
static uint8_t get_protocol(const struct nlmsghdr *m)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, m, sizeof(struct inet_diag_msg))
    {
        if (mnl_attr_get_type(a) == INET_DIAG_PROTOCOL && mnl_attr_get_payload_len(a) >= 1)
            return mnl_attr_get_u8(a);
    }
    return 0;
}

static void read_socket(const struct nlmsghdr *m)
{
    struct s5_endpoint from, to;
    const struct inet_diag_msg *d = mnl_nlmsg_get_payload(m);
    if (mnl_nlmsg_get_payload_len(m) < sizeof(*d) || (d->idiag_family != AF_INET && d->idiag_family != AF_INET6))
        return;
    set_endpoint(&from, d->idiag_family, d->id.idiag_src, d->id.idiag_sport);
    set_endpoint(&to, d->idiag_family, d->id.idiag_dst, d->id.idiag_dport);
    if (d->idiag_state == TCP_LISTEN)
        events->listener(&from);
    else if (get_protocol(m) == IPPROTO_UDP)
        events->udp_closed(&from);
    else if (get_protocol(m) == IPPROTO_TCP)
        events->tcp_closed(&from, &to);
}

static void end_dump(void)
{
    if (dumping > 0 && dumping < sizeof(families))
        request_family(dumping);
    else if (dumping > 0) {
        dumping = 0;
        events->listener(NULL);
    }
}

/* Not by mnl_cb_run(), which skips the rest after a dump that was interrupted (NLM_F_DUMP_INTR). */
void diag_read(const void *p, size_t n)
{
    int left = (int)n;
    for (const struct nlmsghdr *m = p; message_is_complete(m, left); m = mnl_nlmsg_next(m, &left))
        if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
            end_dump();
        else if (m->nlmsg_type == SOCK_DIAG_BY_FAMILY)
            read_socket(m);
}

static void read_messages(struct watch *w, uint32_t ready)
{
    static char buf[32768];
    (void)ready;
    for (int i = 0; i < ROUNDS; i++) {
        ssize_t n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0)
            return;
        diag_read(buf, (size_t)n);
    }
}

int diag_begin(int fd, const struct diag_events *functions)
{
    static const int groups[] = {SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_UDP_DESTROY, SKNLGRP_INET_TCP_DESTROY,
                                 SKNLGRP_INET6_TCP_DESTROY};
    int size = BUFFER, on = 1;
    watch.fd = fd;
    watch.ready = read_messages;
    events = functions;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
            return -errno;
    return loop_set_events(&watch, EPOLLIN);
}
