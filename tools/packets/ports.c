#include "ports.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static int add_port(const struct nlmsghdr *m, void *user)
{
    struct ports *p = user;
    const struct inet_diag_msg *d = mnl_nlmsg_get_payload(m);
    if (mnl_nlmsg_get_payload_len(m) >= sizeof(*d)) {
        uint16_t port = ntohs(d->id.idiag_sport);
        p->bits[port / 8] = (uint8_t)(p->bits[port / 8] | 1u << port % 8);
    }
    return MNL_CB_OK;
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
    int more = send(fd, m, m->nlmsg_len, MSG_NOSIGNAL) < 0 ? -1 : 1;
    while (more > 0) { /* the kernel writes the next part while this one is received */
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        more = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 0, 0, add_port, ret);
    }
    return more < 0 ? -errno : 0;
}

int ports_list(int fd, int protocol, struct ports *ret)
{
    memset(ret, 0, sizeof(*ret));
    int result = list_family(fd, AF_INET, protocol, ret);
    return result < 0 ? result : list_family(fd, AF_INET6, protocol, ret);
}
