#include "ports.h"
#include "message.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static void add_port(const struct nlmsghdr *m, struct ports *ret)
{
    const struct inet_diag_msg *d = mnl_nlmsg_get_payload(m);
    if (mnl_nlmsg_get_payload_len(m) < sizeof(*d))
        return;
    uint16_t port = ntohs(d->id.idiag_sport);
    ret->bits[port / 8] = (uint8_t)(ret->bits[port / 8] | 1u << port % 8);
}

/* Not by mnl_cb_run(), which skips the rest after a dump that was interrupted. Returns true if the list ends here. */
static bool add_ports(const void *p, size_t n, struct ports *ret)
{
    int left = (int)n;
    for (const struct nlmsghdr *m = p; message_is_complete(m, left); m = mnl_nlmsg_next(m, &left))
        if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
            return true;
        else if (m->nlmsg_type == SOCK_DIAG_BY_FAMILY)
            add_port(m, ret);
    return false;
}

static int list_family(int fd, uint8_t family, int protocol, struct ports *ret)
{
    static char buf[32768];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(m, sizeof(*q));
    q->sdiag_family = family;
    q->sdiag_protocol = (uint8_t)protocol;
    q->idiag_states = ~(1u << TCP_LISTEN);
    ssize_t n = send(fd, m, m->nlmsg_len, MSG_NOSIGNAL);
    do /* the kernel writes the next part while this one is received */
        n = n < 0 ? n : recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    while (n > 0 && !add_ports(buf, (size_t)n, ret));
    return n < 0 ? -errno : 0;
}

int ports_list(int fd, int protocol, struct ports *ret)
{
    memset(ret, 0, sizeof(*ret));
    int result = list_family(fd, AF_INET, protocol, ret);
    return result < 0 ? result : list_family(fd, AF_INET6, protocol, ret);
}
