/* Theory of operation: a packet that finds the queue's socket full is lost, and a lost SYN costs its program a second.
 * So the receive buffer is large, and all waiting packets are read before the first one is handled. */
#include "queue.h"
#include "loop.h"
#include "message.h"
#include "rules.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define COPIED  128   /* octets of each packet that are received: headers */
#define LONGEST 65536 /* packets in the queue */
#define BUFFER  (8 << 20)
#define BATCH   256 /* packets read before they are handled */

static struct watch watch = {.fd = -1, .lasting = true};
static void (*take_packet)(uint32_t id, const struct packet *p);

static struct {
    uint32_t id;
    struct packet packet;
} batch[BATCH];
static unsigned n_batch;

static int send_message(const struct nlmsghdr *m)
{
    return send(watch.fd, m, m->nlmsg_len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void send_verdict(uint32_t id, int verdict, uint32_t mark)
{
    char buf[256];
    struct nlmsghdr *m = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, RULES_QUEUE);
    nfq_nlmsg_verdict_put(m, (int)id, verdict);
    if (mark)
        nfq_nlmsg_verdict_put_mark(m, mark);
    send_message(m);
}

void queue_accept(uint32_t id, uint32_t mark)
{
    send_verdict(id, NF_ACCEPT, mark);
}

void queue_drop(uint32_t id)
{
    send_verdict(id, NF_DROP, 0);
}

static void take_batch(void)
{
    for (unsigned i = 0; i < n_batch; i++)
        take_packet(batch[i].id, &batch[i].packet);
    n_batch = 0;
}

static void add_packet(const struct nlmsghdr *m)
{
    struct nlattr *attributes[NFQA_MAX + 1] = {NULL};
    if (nfq_nlmsg_parse(m, attributes) < 0 || !attributes[NFQA_PACKET_HDR] ||
        mnl_attr_get_payload_len(attributes[NFQA_PACKET_HDR]) < sizeof(struct nfqnl_msg_packet_hdr))
        return;
    const struct nfqnl_msg_packet_hdr *head = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
    const struct nlattr *payload = attributes[NFQA_PAYLOAD];
    uint32_t id = ntohl(head->packet_id);
    if (n_batch == BATCH) /* a message with several packets: the kernel sends none */
        take_batch();
    if (payload &&
        packet_read(&batch[n_batch].packet, mnl_attr_get_payload(payload), mnl_attr_get_payload_len(payload)))
        batch[n_batch++].id = id;
    else
        queue_drop(id);
}

/* A message that is no packet reports an error about a verdict: the packet has gone. */
static void add_packets(const void *p, size_t n)
{
    int left = (int)n;
    for (const struct nlmsghdr *m = p; message_is_complete(m, left); m = mnl_nlmsg_next(m, &left))
        if (m->nlmsg_type >= NLMSG_MIN_TYPE)
            add_packet(m);
}

static void read_packets(struct watch *w, uint32_t ready)
{
    static char buf[16384];
    ssize_t n = 0;
    (void)ready;
    do {
        while (n_batch < BATCH && (n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
            add_packets(buf, (size_t)n);
        take_batch();
    } while (n > 0);
}

void queue_read(void)
{
    read_packets(&watch, EPOLLIN);
}

static int configure_queue(void)
{
    char buf[512];
    struct nlmsghdr *m = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, RULES_QUEUE);
    nfq_nlmsg_cfg_put_cmd(m, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    int result = send_message(m);
    m = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, RULES_QUEUE);
    m->nlmsg_flags |= NLM_F_ACK;
    nfq_nlmsg_cfg_put_params(m, NFQNL_COPY_PACKET, COPIED);
    nfq_nlmsg_cfg_put_qmaxlen(m, LONGEST);
    if (result == 0)
        result = send_message(m);
    ssize_t n = result < 0 ? -1 : recv(watch.fd, buf, sizeof(buf), 0); /* the kernel has answered by then */
    if (result == 0 && (n < 0 || mnl_cb_run(buf, (size_t)n, 0, 0, NULL, NULL) < 0))
        result = -errno;
    return result;
}

int queue_begin(int fd, void (*take)(uint32_t id, const struct packet *p))
{
    int size = BUFFER, on = 1;
    watch.fd = fd;
    watch.ready = read_packets;
    take_packet = take;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
    int result = configure_queue();
    return result < 0 ? result : loop_set_events(&watch, EPOLLIN);
}
