/* The route "local default" is in a table of its own. In the main table it would be merged with the table of local
 * addresses: every address could be bound, and a SYN to any would look local. Its rule comes after the usual ones. */
#include "routes.h"
#include "rules.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#define LO         1 /* the index of lo in every namespace */
#define TABLE      100
#define PREFERENCE 40000

struct request {
    struct mnl_socket *socket;
    uint32_t sequence;
    char buf[512];
    struct nlmsghdr *message;
};

/* Begins a message of TYPE. Returns its header of SIZE octets, cleared. */
static void *begin_message(struct request *r, uint16_t type, size_t size)
{
    r->message = mnl_nlmsg_put_header(r->buf);
    r->message->nlmsg_type = type;
    r->message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    r->message->nlmsg_seq = ++r->sequence;
    return mnl_nlmsg_put_extra_header(r->message, size);
}

/* Sends the message and returns the kernel's result. */
static int send_message(struct request *r)
{
    char answer[1024];
    if (mnl_socket_sendto(r->socket, r->message, r->message->nlmsg_len) < 0)
        return -errno;
    ssize_t n = mnl_socket_recvfrom(r->socket, answer, sizeof(answer));
    return n >= 0 && mnl_cb_run(answer, (size_t)n, r->sequence, 0, NULL, NULL) >= 0 ? 0 : -errno;
}

static void put_address(struct request *r, uint16_t attribute, int family, const char *text)
{
    uint8_t octets[16];
    inet_pton(family, text, octets);
    mnl_attr_put(r->message, attribute, family == AF_INET ? 4 : 16, octets);
}

static int set_up(struct request *r)
{
    struct ifinfomsg *head = begin_message(r, RTM_NEWLINK, sizeof(*head));
    head->ifi_index = LO;
    head->ifi_flags = head->ifi_change = IFF_UP;
    return send_message(r);
}

static int add_address(struct request *r, int family, const char *address)
{
    struct ifaddrmsg *head = begin_message(r, RTM_NEWADDR, sizeof(*head));
    head->ifa_family = (uint8_t)family;
    head->ifa_prefixlen = family == AF_INET ? 32 : 128;
    head->ifa_index = LO;
    put_address(r, IFA_LOCAL, family, address);
    put_address(r, IFA_ADDRESS, family, address);
    mnl_attr_put_u32(r->message, IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
    return send_message(r);
}

static int add_rule(struct request *r, int family)
{
    struct fib_rule_hdr *head = begin_message(r, RTM_NEWRULE, sizeof(*head));
    head->family = (uint8_t)family;
    head->table = TABLE;
    head->action = FR_ACT_TO_TBL;
    mnl_attr_put_u32(r->message, FRA_PRIORITY, PREFERENCE);
    return send_message(r);
}

static int add_route(struct request *r, int family, const char *source)
{
    struct rtmsg *head = begin_message(r, RTM_NEWROUTE, sizeof(*head));
    head->rtm_family = (uint8_t)family;
    head->rtm_table = TABLE;
    head->rtm_protocol = RTPROT_STATIC;
    head->rtm_type = RTN_LOCAL;
    head->rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    mnl_attr_put_u32(r->message, RTA_OIF, LO);
    put_address(r, RTA_PREFSRC, family, source);
    return send_message(r);
}

static int add_family(struct request *r, int family, const char *own)
{
    int result = add_address(r, family, own);
    if (result == 0)
        result = add_rule(r, family);
    return result == 0 ? add_route(r, family, own) : result;
}

int routes_install(bool *ret_ipv6)
{
    struct request r = {.socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)};
    *ret_ipv6 = false;
    if (!r.socket)
        return -errno;
    int result = mnl_socket_bind(r.socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : set_up(&r);
    if (result == 0)
        result = add_family(&r, AF_INET, RULES_OWN4);
    if (result == 0) {
        int six = add_family(&r, AF_INET6, RULES_OWN6);
        *ret_ipv6 = six == 0;
        /* Without IPv6, by a boot parameter or a setting, no packet of IPv6 can be made. */
        result = six == -EAFNOSUPPORT || six == -EOPNOTSUPP || six == -EACCES ? 0 : six;
    }
    mnl_socket_close(r.socket);
    return result;
}
