/* Theory of operation
 *
 * The only device is lo, and a route makes every address local. So each packet of a program passes the prerouting hook,
 * where two chains look at it:
 *
 *   hold       a SYN to a foreign address waits in a queue until the gateway has the SOCKS5 server's answer. The
 *              verdict is: go on; go on with RULES_MARK_RESET; or drop, after the gateway has sent an ICMP error. Echo
 *              requests wait, too, and are answered by an ICMP error.
 *   deliver    TCP and UDP to foreign addresses go to the transparent sockets. If there are none, because the gateway
 *              was killed, TCP is rejected. All else is dropped.
 *
 * Two chains are necessary: a packet continues at the next chain after its verdict, not at the next rule.
 *
 * Loopback addresses are foreign where no socket of the namespace would receive the packet: the expression "socket"
 * ends a rule there. It looks for the socket as the kernel does.
 *
 * The queue is at prerouting, not at output: there a packet no longer belongs to a socket, so a program that closes its
 * socket releases it at once. */
#include "rules.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>

#define TABLE      "socksify"
#define BATCH      32768 /* octets; the rules need about 12,000 */
#define FLAGS      13    /* offset of the flags in a TCP header */
#define PRIORITY   NF_IP_PRI_MANGLE
#define ALL_FLAGS  0x17 /* FIN, SYN, RST, ACK */
#define SYN        0x02
#define REGISTER_1 NFT_REG_1
#define REGISTER_2 NFT_REG_2

struct writer {
    struct mnl_nlmsg_batch *batch;
    uint32_t sequence;
    const struct rules_options *options;
    bool compat; /* the queue is the target of xtables, not the expression of nftables */
    const char *chain;
    struct nftnl_rule *rule; /* being written */
    struct nlmsghdr *last;   /* the message of the last rule */
    bool failed;             /* no memory */
};

/* ---- Expressions ---- */

static struct nftnl_expr *begin_expression(struct writer *w, const char *name)
{
    struct nftnl_expr *e = nftnl_expr_alloc(name);
    if (e)
        nftnl_rule_add_expr(w->rule, e);
    w->failed = w->failed || !e;
    return e;
}

static void set_u32(struct nftnl_expr *e, uint16_t attribute, uint32_t value)
{
    if (e)
        nftnl_expr_set_u32(e, attribute, value);
}

static void compare_register(struct writer *w, uint32_t operation, const void *data, uint32_t size)
{
    struct nftnl_expr *e = begin_expression(w, "cmp");
    set_u32(e, NFTNL_EXPR_CMP_SREG, REGISTER_1);
    set_u32(e, NFTNL_EXPR_CMP_OP, operation);
    if (e)
        nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size);
}

static void load_meta(struct writer *w, uint32_t key)
{
    struct nftnl_expr *e = begin_expression(w, "meta");
    set_u32(e, NFTNL_EXPR_META_KEY, key);
    set_u32(e, NFTNL_EXPR_META_DREG, REGISTER_1);
}

static void load_payload(struct writer *w, uint32_t base, uint32_t offset, uint32_t size)
{
    struct nftnl_expr *e = begin_expression(w, "payload");
    set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, size);
    set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, REGISTER_1);
}

static void mask_register(struct writer *w, uint8_t mask)
{
    const uint8_t none = 0;
    struct nftnl_expr *e = begin_expression(w, "bitwise");
    set_u32(e, NFTNL_EXPR_BITWISE_SREG, REGISTER_1);
    set_u32(e, NFTNL_EXPR_BITWISE_DREG, REGISTER_1);
    set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(mask));
    if (e) {
        nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
        nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
    }
}

static void set_register(struct writer *w, uint32_t reg, const void *data, uint32_t size)
{
    struct nftnl_expr *e = begin_expression(w, "immediate");
    set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
    if (e)
        nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, data, size);
}

static void set_verdict(struct writer *w, uint32_t verdict)
{
    struct nftnl_expr *e = begin_expression(w, "immediate");
    set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
}

/* Without a gateway the packet goes on (BYPASS), to the rule that rejects it. */
static void put_in_queue(struct writer *w)
{
    if (!w->compat) {
        struct nftnl_expr *e = begin_expression(w, "queue");
        if (e) {
            nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, RULES_QUEUE);
            nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
            nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
        }
        return;
    }
    struct nftnl_expr *e = begin_expression(w, "target");
    struct xt_NFQ_info_v3 *info = calloc(1, XT_ALIGN(sizeof(*info)));
    w->failed = w->failed || !info;
    if (!e || !info) {
        free(info);
        return;
    }
    info->queuenum = RULES_QUEUE;
    info->queues_total = 1;
    info->flags = NFQ_FLAG_BYPASS;
    nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
    nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
    nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, XT_ALIGN(sizeof(*info))); /* owns INFO now */
}

/* ---- Rules ---- */

static void begin_rule(struct writer *w)
{
    w->rule = nftnl_rule_alloc();
    if (!w->rule) {
        w->failed = true;
        return;
    }
    nftnl_rule_set_str(w->rule, NFTNL_RULE_TABLE, TABLE);
    nftnl_rule_set_str(w->rule, NFTNL_RULE_CHAIN, w->chain);
    nftnl_rule_set_u32(w->rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
}

static struct nlmsghdr *begin_message(struct writer *w, uint16_t type, uint16_t flags)
{
    return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(w->batch), type, NFPROTO_INET, flags, w->sequence++);
}

static void end_rule(struct writer *w)
{
    w->last = begin_message(w, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nftnl_rule_nlmsg_build_payload(w->last, w->rule);
    mnl_nlmsg_batch_next(w->batch);
    nftnl_rule_free(w->rule);
}

struct family {
    uint8_t nfproto, loopback_mask, icmp, echo, multicast_mask;
    uint32_t destination, size; /* offset and size of the destination in the header */
    const char *own, *loopback;
    uint8_t multicast;
};

static const struct family families[] = {
    {NFPROTO_IPV4, 0xff, IPPROTO_ICMP, ICMP_ECHO, 0xe0, 16, 4, RULES_OWN4, "127.0.0.1", 0xe0},
    {NFPROTO_IPV6, 0, IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST, 0xff, 24, 16, RULES_OWN6, "::1", 0xff},
};

static void begin_family_rule(struct writer *w, const struct family *f)
{
    begin_rule(w);
    load_meta(w, NFT_META_NFPROTO);
    compare_register(w, NFT_CMP_EQ, &f->nfproto, sizeof(f->nfproto));
}

static void match_protocol(struct writer *w, uint8_t protocol)
{
    load_meta(w, NFT_META_L4PROTO);
    compare_register(w, NFT_CMP_EQ, &protocol, sizeof(protocol));
}

static void match_own(struct writer *w, const struct family *f)
{
    uint8_t own[16];
    inet_pton(f->nfproto == NFPROTO_IPV4 ? AF_INET : AF_INET6, f->own, own);
    load_payload(w, NFT_PAYLOAD_NETWORK_HEADER, f->destination, f->size);
    compare_register(w, NFT_CMP_EQ, own, f->size);
}

/* Loopback is 127.0.0.0/8 and ::1. */
static void match_loopback(struct writer *w, const struct family *f)
{
    uint8_t address[16];
    uint32_t size = f->nfproto == NFPROTO_IPV4 ? 1 : f->size;
    inet_pton(f->nfproto == NFPROTO_IPV4 ? AF_INET : AF_INET6, f->loopback, address);
    load_payload(w, NFT_PAYLOAD_NETWORK_HEADER, f->destination, size);
    compare_register(w, NFT_CMP_EQ, address, size);
}

/* What stays in the namespace is accepted. */
static void accept_own(struct writer *w, const struct family *f)
{
    begin_family_rule(w, f);
    match_own(w, f);
    set_verdict(w, NF_ACCEPT);
    end_rule(w);
    begin_family_rule(w, f);
    match_loopback(w, f);
    if (w->options->loopback) {
        struct nftnl_expr *e = begin_expression(w, "socket");
        set_u32(e, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
        set_u32(e, NFTNL_EXPR_SOCKET_DREG, REGISTER_1);
    }
    set_verdict(w, NF_ACCEPT);
    end_rule(w);
    begin_family_rule(w, f);
    match_protocol(w, f->icmp);
    match_loopback(w, f);
    set_verdict(w, NF_ACCEPT);
    end_rule(w);
}

static void hold_packets(struct writer *w, const struct family *f)
{
    const uint8_t syn = SYN;
    accept_own(w, f);
    begin_family_rule(w, f);
    match_protocol(w, IPPROTO_TCP);
    load_payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS, 1);
    mask_register(w, ALL_FLAGS);
    compare_register(w, NFT_CMP_EQ, &syn, sizeof(syn));
    put_in_queue(w);
    end_rule(w);
    begin_family_rule(w, f);
    match_protocol(w, f->icmp);
    load_payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    compare_register(w, NFT_CMP_EQ, &f->echo, sizeof(f->echo));
    put_in_queue(w);
    end_rule(w);
}

/* The address and port of the transparent sockets. */
static void send_to_transparent(struct writer *w, const struct family *f)
{
    uint8_t address[16];
    uint16_t port = htons(RULES_PORT);
    inet_pton(f->nfproto == NFPROTO_IPV4 ? AF_INET : AF_INET6, f->loopback, address);
    set_register(w, REGISTER_1, address, f->size);
    set_register(w, REGISTER_2, &port, sizeof(port));
    struct nftnl_expr *e = begin_expression(w, "tproxy");
    set_u32(e, NFTNL_EXPR_TPROXY_FAMILY, f->nfproto);
    set_u32(e, NFTNL_EXPR_TPROXY_REG_ADDR, REGISTER_1);
    set_u32(e, NFTNL_EXPR_TPROXY_REG_PORT, REGISTER_2);
}

static void reset_connection(struct writer *w)
{
    match_protocol(w, IPPROTO_TCP);
    set_u32(begin_expression(w, "reject"), NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
    end_rule(w);
}

static void deliver_packets(struct writer *w, const struct family *f)
{
    const uint32_t mark = RULES_MARK_RESET;
    const uint16_t port = htons(RULES_PORT);
    begin_family_rule(w, f); /* a connection to the transparent listener itself */
    match_loopback(w, f);
    match_protocol(w, IPPROTO_TCP);
    load_payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(port));
    compare_register(w, NFT_CMP_EQ, &port, sizeof(port));
    reset_connection(w);
    accept_own(w, f);
    begin_family_rule(w, f);
    load_meta(w, NFT_META_MARK);
    compare_register(w, NFT_CMP_EQ, &mark, sizeof(mark));
    reset_connection(w);
    begin_family_rule(w, f); /* a server carries no multicast and no broadcast */
    load_payload(w, NFT_PAYLOAD_NETWORK_HEADER, f->destination, 1);
    mask_register(w, f->multicast_mask);
    compare_register(w, NFT_CMP_EQ, &f->multicast, sizeof(f->multicast));
    set_verdict(w, NF_DROP);
    end_rule(w);
    begin_family_rule(w, f);
    send_to_transparent(w, f);
    set_verdict(w, NF_ACCEPT);
    end_rule(w);
    begin_family_rule(w, f);
    reset_connection(w);
}

/* ---- The transaction ---- */

static void add_table(struct writer *w)
{
    struct nftnl_table *t = nftnl_table_alloc();
    if (!t) {
        w->failed = true;
        return;
    }
    nftnl_table_set_str(t, NFTNL_TABLE_NAME, TABLE);
    nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_nlmsg_build_payload(begin_message(w, NFT_MSG_NEWTABLE, NLM_F_CREATE), t);
    mnl_nlmsg_batch_next(w->batch);
    nftnl_table_free(t);
}

static void add_chain(struct writer *w, const char *name, int32_t priority, uint32_t policy)
{
    struct nftnl_chain *c = nftnl_chain_alloc();
    w->chain = name;
    if (!c) {
        w->failed = true;
        return;
    }
    nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, TABLE);
    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
    nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
    nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, NF_INET_PRE_ROUTING);
    nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
    nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, policy);
    nftnl_chain_nlmsg_build_payload(begin_message(w, NFT_MSG_NEWCHAIN, NLM_F_CREATE), c);
    mnl_nlmsg_batch_next(w->batch);
    nftnl_chain_free(c);
}

static void add_rules(struct writer *w, void (*add)(struct writer *w, const struct family *f))
{
    unsigned n = w->options->ipv6 ? 2 : 1;
    for (unsigned i = 0; i < n && !w->failed; i++)
        add(w, &families[i]);
}

static void write_batch(struct writer *w)
{
    nftnl_batch_begin(mnl_nlmsg_batch_current(w->batch), w->sequence++);
    mnl_nlmsg_batch_next(w->batch);
    add_table(w);
    add_chain(w, "hold", PRIORITY - 1, NF_ACCEPT);
    add_rules(w, hold_packets);
    add_chain(w, "deliver", PRIORITY, NF_DROP);
    add_rules(w, deliver_packets);
    if (w->last)
        w->last->nlmsg_flags |= NLM_F_ACK;
    nftnl_batch_end(mnl_nlmsg_batch_current(w->batch), w->sequence++);
    mnl_nlmsg_batch_next(w->batch);
}

/* The kernel answers after the whole transaction: with an error for each message that has one, in order, and an
 * acknowledgement of the last rule. Returns the first error. */
static int read_answer(struct mnl_socket *socket)
{
    static char buf[16384];
    ssize_t n = mnl_socket_recvfrom(socket, buf, sizeof(buf));
    int left = (int)n, error = 0;
    if (n < 0)
        return -errno;
    for (const struct nlmsghdr *m = (void *)buf; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
        const struct nlmsgerr *answer = mnl_nlmsg_get_payload(m);
        if (error == 0 && m->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(m) >= sizeof(*answer))
            error = answer->error;
    }
    return error;
}

static int send_batch(const struct rules_options *options, bool compat)
{
    static char buf[BATCH];
    struct writer w = {.options = options, .sequence = 1, .compat = compat};
    w.batch = mnl_nlmsg_batch_start(buf, sizeof(buf));
    if (!w.batch)
        return -ENOMEM;
    write_batch(&w);
    struct mnl_socket *socket = w.failed ? NULL : mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int result = w.failed ? -ENOMEM : !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
    if (result == 0 && mnl_socket_sendto(socket, mnl_nlmsg_batch_head(w.batch), mnl_nlmsg_batch_size(w.batch)) < 0)
        result = -errno;
    if (result == 0)
        result = read_answer(socket);
    if (socket)
        mnl_socket_close(socket);
    mnl_nlmsg_batch_stop(w.batch);
    return result;
}

int rules_install(const struct rules_options *options)
{
    /* Few kernels have only one of the two. A transaction that fails takes milliseconds. */
    int result = send_batch(options, true);
    if (result == -ENOENT || result == -EOPNOTSUPP)
        result = send_batch(options, false);
    return result;
}
