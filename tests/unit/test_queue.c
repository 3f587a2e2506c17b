/* The NFQUEUE of a namespace: packets that wait, and the verdicts on them. The kernel is the other end of a pair of
 * sockets. */
#include "loop.h"
#include "packet_script.h"
#include "queue.h"
#include "rules.h"
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKETS 700 /* more than are read before the first one is handled */

static int own, kernel;
static struct octets m; /* a message of the kernel */

static struct {
    uint32_t id;
    struct packet packet;
} taken[PACKETS];
static unsigned n_taken;

static void take_packet(uint32_t id, const struct packet *p)
{
    cr_assert_lt(n_taken, PACKETS);
    taken[n_taken].id = id;
    taken[n_taken++].packet = *p;
}

static void append_attribute(uint16_t type, const void *value, size_t n)
{
    const struct nlattr head = {(uint16_t)(sizeof head + n), type};
    append(&m, &head, sizeof head);
    append(&m, value, n);
    append(&m, "\0\0\0", -n % 4);
}

/* Appends a message about packet ID, whose first octets are WHAT. NULL: it has none. */
static void append_packet(uint32_t id, const struct octets *what)
{
    const size_t at = m.n;
    struct nlmsghdr head = {.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET};
    const struct nfgenmsg family = {.nfgen_family = AF_INET};
    const struct nfqnl_msg_packet_hdr packet = {.packet_id = htonl(id), .hw_protocol = htons(0x0800)};
    append(&m, &head, sizeof head);
    append(&m, &family, sizeof family);
    append_attribute(NFQA_PACKET_HDR, &packet, sizeof packet);
    append_attribute(NFQA_IFINDEX_OUTDEV, "\0\0\0\1", 4);
    if (what)
        append_attribute(NFQA_PAYLOAD, what->at, what->n);
    head.nlmsg_len = (uint32_t)(m.n - at);
    memcpy(m.at + at, &head, sizeof head);
}

static void send_message(void)
{
    cr_assert_eq(send(kernel, m.at, m.n, 0), (ssize_t)m.n);
    m.n = 0;
}

static void send_result(int32_t error)
{
    const struct nlmsgerr result = {.error = error};
    const struct nlmsghdr head = {sizeof head + sizeof result, NLMSG_ERROR, 0, 0, 0};
    append(&m, &head, sizeof head);
    append(&m, &result, sizeof result);
    send_message();
}

static const struct octets *make_syn(void)
{
    static struct octets o;
    o.n = 0;
    append_ipv4(&o, IPPROTO_TCP, 0, 0);
    append_tcp(&o);
    return &o;
}

/* Begins with the kernel's answer ERROR. */
static int begin_queue(int32_t error)
{
    int ends[2];
    cr_assert_eq(loop_begin(), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    own = ends[0];
    kernel = ends[1];
    send_result(error);
    return queue_begin(own, take_packet);
}

/* Receives a message to the kernel of the type TYPE, and stores its attributes in RET, by their types. */
static void receive_message(uint16_t type, struct octets *o, const struct nlattr *ret[static NFQA_CFG_FLAGS + NFQA_MAX])
{
    const size_t head = sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg);
    ssize_t n = recv(kernel, o->at, sizeof o->at, MSG_DONTWAIT);
    cr_assert_geq(n, (ssize_t)head);
    const struct nlmsghdr *h = (const void *)o->at;
    const struct nfgenmsg *g = (const void *)(h + 1);
    cr_assert_eq(h->nlmsg_len, n);
    cr_assert_eq(h->nlmsg_type, NFNL_SUBSYS_QUEUE << 8 | type);
    cr_assert(h->nlmsg_flags & NLM_F_REQUEST);
    cr_assert_eq(ntohs(g->res_id), RULES_QUEUE);
    memset(ret, 0, (NFQA_CFG_FLAGS + NFQA_MAX) * sizeof *ret);
    for (size_t at = head; at < (size_t)n;) {
        const struct nlattr *a = (const void *)(o->at + at);
        cr_assert(a->nla_len >= sizeof *a && at + a->nla_len <= (size_t)n);
        cr_assert_lt(a->nla_type & NLA_TYPE_MASK, NFQA_CFG_FLAGS + NFQA_MAX);
        ret[a->nla_type & NLA_TYPE_MASK] = a;
        at += (a->nla_len + 3u) & ~3u;
    }
}

/* The next message to the kernel is VERDICT on packet ID, with MARK. */
static void expect_verdict(uint32_t id, uint32_t verdict, uint32_t mark)
{
    struct octets o;
    const struct nlattr *a[NFQA_CFG_FLAGS + NFQA_MAX];
    receive_message(NFQNL_MSG_VERDICT, &o, a);
    cr_assert_not_null(a[NFQA_VERDICT_HDR]);
    const struct nfqnl_msg_verdict_hdr *v = (const void *)(a[NFQA_VERDICT_HDR] + 1);
    cr_assert_eq(ntohl(v->id), id);
    cr_assert_eq(ntohl(v->verdict), verdict);
    cr_assert_eq(a[NFQA_MARK] != NULL, mark != 0);
    if (mark)
        cr_assert_eq(ntohl(*(const uint32_t *)(a[NFQA_MARK] + 1)), mark);
}

static void expect_nothing_sent(void)
{
    char octet;
    cr_assert(recv(kernel, &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static void begin(void)
{
    struct octets o;
    const struct nlattr *a[NFQA_CFG_FLAGS + NFQA_MAX];
    cr_assert_eq(begin_queue(0), 0);
    receive_message(NFQNL_MSG_CONFIG, &o, a);
    receive_message(NFQNL_MSG_CONFIG, &o, a);
}

/* --- the set-up --- */

Test(queue_begin, queue_is_bound_and_configured)
{
    struct octets o;
    const struct nlattr *a[NFQA_CFG_FLAGS + NFQA_MAX];
    cr_assert_eq(begin_queue(0), 0);
    receive_message(NFQNL_MSG_CONFIG, &o, a);
    cr_assert_not_null(a[NFQA_CFG_CMD]);
    cr_assert_eq(((const struct nfqnl_msg_config_cmd *)(a[NFQA_CFG_CMD] + 1))->command, NFQNL_CFG_CMD_BIND);
    receive_message(NFQNL_MSG_CONFIG, &o, a);
    cr_assert(((const struct nlmsghdr *)o.at)->nlmsg_flags & NLM_F_ACK);
    const struct nfqnl_msg_config_params *params = (const void *)(a[NFQA_CFG_PARAMS] + 1);
    cr_assert_eq(params->copy_mode, NFQNL_COPY_PACKET);
    cr_assert_geq(ntohl(params->copy_range), 60 + 8, "the longest header of IPv4, and the ports");
    cr_assert_geq(ntohl(*(const uint32_t *)(a[NFQA_CFG_QUEUE_MAXLEN] + 1)), 1024);
    expect_nothing_sent();
}

Test(queue_begin, error_of_the_kernel_is_returned)
{
    cr_assert_eq(begin_queue(-EPERM), -EPERM);
    cr_assert_eq(begin_queue(-EBUSY), -EBUSY);
}

Test(queue_begin, socket_that_cannot_be_used)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(queue_begin(fd, take_packet), -ENOTCONN);
}

/* --- packets --- */

TestSuite(queue, .init = begin);

Test(queue, packets_are_taken_with_their_numbers)
{
    struct octets six = {.n = 0};
    append_packet(1, make_syn());
    send_message();
    append_ipv6(&six, IPPROTO_UDP);
    append_udp(&six, 0);
    append_packet(0xfedcba98, &six);
    send_message();
    loop_run_once(0);
    cr_assert_eq(n_taken, 2);
    cr_assert(taken[0].id == 1 && taken[0].packet.protocol == IPPROTO_TCP);
    expect_endpoint(&taken[0].packet.from, FROM4, FROM_PORT);
    expect_endpoint(&taken[0].packet.to, TO4, TO_PORT);
    cr_assert(taken[1].id == 0xfedcba98 && taken[1].packet.protocol == IPPROTO_UDP);
    expect_endpoint(&taken[1].packet.from, FROM6, FROM_PORT);
    expect_endpoint(&taken[1].packet.to, TO6, TO_PORT);
    expect_nothing_sent();
}

Test(queue, verdicts)
{
    queue_accept(1, 0);
    expect_verdict(1, NF_ACCEPT, 0);
    queue_accept(0xfedcba98, 0x80000001);
    expect_verdict(0xfedcba98, NF_ACCEPT, 0x80000001);
    queue_drop(UINT32_MAX);
    expect_verdict(UINT32_MAX, NF_DROP, 0);
    queue_accept(2, RULES_MARK_RESET);
    expect_verdict(2, NF_ACCEPT, RULES_MARK_RESET);
    expect_nothing_sent();
}

/* A packet without a verdict would be in the queue for ever. */
Test(queue, what_is_not_understood_is_dropped)
{
    struct octets fragment = {.n = 0}, part = *make_syn(), empty = {.n = 0};
    append_ipv4(&fragment, IPPROTO_UDP, 0, 1);
    append_udp(&fragment, 0);
    part.n = sizeof(struct iphdr) + 7;
    append_packet(1, &fragment);
    send_message();
    append_packet(2, &part);
    send_message();
    append_packet(3, &empty);
    send_message();
    append_packet(4, NULL);
    send_message();
    append_packet(5, make_syn());
    send_message();
    loop_run_once(0);
    for (uint32_t id = 1; id < 5; id++)
        expect_verdict(id, NF_DROP, 0);
    expect_nothing_sent();
    cr_assert(n_taken == 1 && taken[0].id == 5);
}

Test(queue, messages_without_a_packet_are_ignored)
{
    const struct nlmsghdr head = {sizeof head, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET, 0, 0, 0};
    append(&m, &head, sizeof head);
    send_message();
    send_result(-ENOENT); /* a verdict on a packet that is gone */
    send_result(0);
    append_packet(1, make_syn());
    const size_t n = m.n;
    for (size_t part = 1; part < n; part++) {
        cr_assert_eq(send(kernel, m.at, part, 0), (ssize_t)part);
        loop_run_once(0);
    }
    cr_assert_eq(n_taken, 0);
    expect_nothing_sent();
    m.n = n;
    send_message();
    loop_run_once(0);
    cr_assert_eq(n_taken, 1);
}

/* A length of 2 GiB and more is negative for libmnl. */
Test(queue, long_messages_are_ignored)
{
    static const uint32_t lengths[] = {1u << 31, 0x83000000, 0xffff0000, UINT32_MAX - 3, UINT32_MAX, INT32_MAX};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        append_packet(1, make_syn());
        memcpy(m.at, &lengths[i], sizeof lengths[i]);
        append_packet(2, make_syn());
        send_message();
        loop_run_once(0);
        cr_assert_eq(n_taken, 0);
        expect_nothing_sent();
    }
}

/* The header of the packet is too short to have its number. */
Test(queue, short_attribute_is_ignored)
{
    struct nlmsghdr head = {.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET};
    const struct nfgenmsg family = {.nfgen_family = AF_INET};
    append(&m, &head, sizeof head);
    append(&m, &family, sizeof family);
    append_attribute(NFQA_PACKET_HDR, "\0\0", 2);
    head.nlmsg_len = (uint32_t)m.n;
    memcpy(m.at, &head, sizeof head);
    send_message();
    loop_run_once(0);
    cr_assert_eq(n_taken, 0);
    expect_nothing_sent();
}

/* Sends the packets 0 and more, N in all, EACH of them in a message. */
static void send_packets(uint32_t n, uint32_t each)
{
    for (uint32_t id = 0; id < n;) {
        for (uint32_t i = 0; i < each && id < n; i++)
            append_packet(id++, make_syn());
        send_message();
    }
}

/* The kernel sends one packet a message. However many wait, and however many a message has, they are taken in their
 * order, and none is lost. */
Test(queue, many_packets)
{
    static const struct {
        uint32_t n, each;
    } rows[] = {{100, 1}, {255, 5}, {256, 4}, {257, 5}, {264, 8}, {512, 8}, {PACKETS, 7}, {PACKETS, 30}, {PACKETS, 40}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        n_taken = 0;
        send_packets(rows[i].n, rows[i].each);
        loop_run_once(0);
        cr_assert_eq(n_taken, rows[i].n, "%u of %u, %u in a message", n_taken, rows[i].n, rows[i].each);
        for (unsigned j = 0; j < n_taken; j++) {
            cr_assert_eq(taken[j].id, j);
            expect_endpoint(&taken[j].packet.to, TO4, TO_PORT);
        }
        expect_nothing_sent();
    }
}
