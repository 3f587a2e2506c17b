/* Theory of operation: the kernel loads a part that is a module when it is asked for it. Where it does not, the gateway
 * would find out too late, or not at all: the kernel's answers would just lack the sockets of a protocol. */
#include "kernel_parts.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/* Sends the message M. Its answer is an acknowledgement or the end of an empty dump. Both begin with an error. */
static int ask_kernel(int fd, const struct nlmsghdr *m)
{
    char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
    if (send(fd, m, m->nlmsg_len, MSG_NOSIGNAL) < 0)
        return -errno;
    ssize_t n = recv(fd, answer, sizeof(answer), 0); /* the kernel has answered by then */
    const struct nlmsghdr *head = (const void *)answer;
    if (n < 0)
        return -errno;
    if (!mnl_nlmsg_ok(head, (int)n) || mnl_nlmsg_get_payload_len(head) < sizeof(int32_t))
        return -EPROTO;
    return *(const int32_t *)mnl_nlmsg_get_payload(head);
}

/* This command has done nothing since Linux 3.8. */
static int ask_for_queue(int fd)
{
    char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct nfgenmsg *head = mnl_nlmsg_put_extra_header(m, sizeof(*head));
    *head = (struct nfgenmsg){.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
    const struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_PF_BIND, .pf = htons(AF_INET)};
    mnl_attr_put(m, NFQA_CFG_CMD, sizeof(command), &command);
    int result = ask_kernel(fd, m);
    return result == -EINVAL ? -EOPNOTSUPP : result; /* nfnetlink has no such subsystem */
}

/* Asks for the sockets of PROTOCOL that are in no state: there are none. */
static int ask_for_sockets(int fd, uint8_t protocol)
{
    char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(m, sizeof(*q));
    q->sdiag_family = AF_INET;
    q->sdiag_protocol = protocol;
    return ask_kernel(fd, m);
}

int kernel_parts_check(const struct handover *h, const char **ret_what)
{
    *ret_what = "nfnetlink_queue";
    int result = ask_for_queue(h->fds[HANDOVER_QUEUE]);
    if (result < 0)
        return result;
    *ret_what = "tcp_diag";
    result = ask_for_sockets(h->fds[HANDOVER_DIAG], IPPROTO_TCP);
    if (result < 0)
        return result;
    *ret_what = "udp_diag";
    return ask_for_sockets(h->fds[HANDOVER_DIAG], IPPROTO_UDP);
}
