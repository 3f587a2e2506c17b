/* Ways by sockets below TCP and UDP: packet sockets and raw sockets. */
#include "way.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/mman.h>

/* An IPv4 packet with a UDP datagram. Checksums: the kernel's for IPv4, none for UDP. */
struct datagram {
    struct iphdr ip;
    struct udphdr udp;
    char text[32];
} __attribute__((packed));

struct frame {
    uint8_t to[6], from[6];
    uint16_t kind;
    struct datagram datagram;
} __attribute__((packed));

static struct datagram target_datagram(void)
{
    struct datagram d = {
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .tot_len = htons(sizeof d),
               .saddr = htonl(0x0a580902),
               .daddr = target.v4.sin_addr.s_addr},
        .udp = {.source = htons(9), .dest = htons(7), .len = htons(sizeof d - sizeof d.ip)},
    };
    uint32_t sum = 0;
    uint16_t words[10];
    memcpy(d.text, TEXT);
    memcpy(words, &d.ip, sizeof words);
    for (int i = 0; i < 10; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    d.ip.check = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
    return d;
}

static struct frame target_frame(void)
{
    return (struct frame){
        {2, 0, 0, 0, 0, 0x99}, {2, 0, 0, 0, 0, 1}, htons(ETH_P_IP), target_datagram()};
}

static struct sockaddr_ll link_address(void)
{
    return (struct sockaddr_ll){.sll_family = AF_PACKET,
                                .sll_protocol = htons(ETH_P_IP),
                                .sll_ifindex = (int)way_device(),
                                .sll_halen = 6,
                                .sll_addr = {2, 0, 0, 0, 0, 0x99}};
}

static void packet_raw(void)
{
    struct frame frame = target_frame();
    struct sockaddr_ll to = link_address();
    int fd = way_socket(AF_PACKET, SOCK_RAW, 0);
    way_done("sendto", sendto(fd, &frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to));
}

static void packet_dgram(void)
{
    struct datagram datagram = target_datagram();
    struct sockaddr_ll to = link_address();
    int fd = way_socket(AF_PACKET, SOCK_DGRAM, 0);
    way_done("sendto",
             sendto(fd, &datagram, sizeof datagram, 0, (struct sockaddr *)&to, sizeof to));
}

static void packet_bound_write(void)
{
    struct frame frame = target_frame();
    struct sockaddr_ll from = link_address();
    int fd = way_socket(AF_PACKET, SOCK_RAW, 0);
    way_need("bind", bind(fd, (struct sockaddr *)&from, sizeof from));
    way_done("write", write(fd, &frame, sizeof frame));
}

static void packet_old(void)
{
    struct frame frame = target_frame();
    struct sockaddr_pkt to = {
        .spkt_family = AF_PACKET, .spkt_device = DEVICE, .spkt_protocol = htons(ETH_P_IP)};
    int fd = way_socket(AF_INET, SOCK_PACKET, htons(ETH_P_IP));
    way_done("sendto", sendto(fd, &frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to));
}

/* The frame is in memory that is shared with the kernel; send() carries no octets. */
static void packet_ring(void)
{
    struct tpacket_req ring = {
        .tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 2};
    struct frame frame = target_frame();
    struct sockaddr_ll from = link_address();
    int fd = way_socket(AF_PACKET, SOCK_RAW, 0);
    way_need("PACKET_TX_RING", setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &ring, sizeof ring));
    way_need("bind", bind(fd, (struct sockaddr *)&from, sizeof from));
    struct tpacket_hdr *slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    way_need("mmap", slot == MAP_FAILED ? -1 : 0);
    memcpy((char *)slot + TPACKET_HDRLEN - sizeof(struct sockaddr_ll), &frame, sizeof frame);
    slot->tp_len = sizeof frame;
    slot->tp_status = TP_STATUS_SEND_REQUEST;
    way_done("send", send(fd, NULL, 0, 0));
}

static void packet_instruction(void)
{
    struct frame frame = target_frame();
    struct sockaddr_ll to = link_address();
    long fd = WAY_CALL(SYS_socket, AF_PACKET, SOCK_RAW, 0, 0, 0, 0);
    if (fd < 0)
        way_end("socket", (int)-fd);
    long result = WAY_CALL(SYS_sendto, fd, &frame, sizeof frame, 0, &to, sizeof to);
    way_end("sendto", result < 0 ? (int)-result : 0);
}

/* AF_XDP: frames of memory that is shared with the driver. */
static void packet_xdp(void)
{
    enum { SIZE = 4096, FRAMES = 4 };
    struct xdp_umem_reg memory = {.len = SIZE * FRAMES, .chunk_size = SIZE};
    struct xdp_mmap_offsets at;
    socklen_t length = sizeof at;
    int fd = way_socket(AF_XDP, SOCK_RAW, 0), slots = FRAMES;
    char *area =
        mmap(NULL, SIZE * FRAMES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory.addr = (uintptr_t)area;
    way_need("XDP_UMEM_REG", setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &memory, sizeof memory));
    way_need("ring", setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &slots, sizeof slots));
    way_need("ring", setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &slots, sizeof slots));
    way_need("ring", setsockopt(fd, SOL_XDP, XDP_TX_RING, &slots, sizeof slots));
    way_need("offsets", getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length));
    char *ring = mmap(NULL, at.tx.desc + FRAMES * sizeof(struct xdp_desc), PROT_READ | PROT_WRITE,
                      MAP_SHARED, fd, XDP_PGOFF_TX_RING);
    way_need("mmap", ring == MAP_FAILED ? -1 : 0);
    struct sockaddr_xdp from = {
        .sxdp_family = AF_XDP, .sxdp_ifindex = way_device(), .sxdp_flags = XDP_COPY};
    way_need("bind", bind(fd, (struct sockaddr *)&from, sizeof from));
    struct frame frame = target_frame();
    memcpy(area, &frame, sizeof frame);
    *(struct xdp_desc *)(ring + at.tx.desc) = (struct xdp_desc){.addr = 0, .len = sizeof frame};
    __atomic_store_n((uint32_t *)(ring + at.tx.producer), 1, __ATOMIC_RELEASE);
    way_done("sendto", sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0));
}

static void send_raw(int family, int protocol, const void *packet, size_t size, const void *to,
                     socklen_t length)
{
    int fd = way_socket(family, SOCK_RAW, protocol);
    way_done("sendto", sendto(fd, packet, size, 0, to, length));
}

/* A SYN in the program's own words. */
static void raw_tcp(void)
{
    struct tcphdr syn = {.source = htons(9), .dest = htons(7), .doff = 5, .syn = 1};
    send_raw(AF_INET, IPPROTO_TCP, &syn, sizeof syn, V4);
}

static void raw_tcp_connect(void)
{
    struct tcphdr syn = {.source = htons(9), .dest = htons(7), .doff = 5, .syn = 1};
    int fd = way_socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    connect(fd, V4);
    way_done("write", write(fd, &syn, sizeof syn));
}

static void raw_udp(void)
{
    struct datagram datagram = target_datagram();
    send_raw(AF_INET, IPPROTO_UDP, &datagram.udp, sizeof datagram - sizeof datagram.ip, V4);
}

static void raw_icmp(void)
{
    struct icmphdr echo = {.type = ICMP_ECHO, .checksum = htons(0xf7ff)};
    send_raw(AF_INET, IPPROTO_ICMP, &echo, sizeof echo, V4);
}

static void raw_icmp6(void)
{
    struct sockaddr_in6 to = target.v6;
    uint8_t echo[8] = {128};
    to.sin6_port = 0;
    send_raw(AF_INET6, IPPROTO_ICMPV6, echo, sizeof echo, &to, sizeof to);
}

static void raw_with_header(void)
{
    struct datagram datagram = target_datagram();
    send_raw(AF_INET, IPPROTO_RAW, &datagram, sizeof datagram, V4);
}

static void raw_header_option(void)
{
    struct datagram datagram = target_datagram();
    int fd = way_socket(AF_INET, SOCK_RAW, IPPROTO_UDP), on = 1;
    way_need("IP_HDRINCL", setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &on, sizeof on));
    way_done("sendto", sendto(fd, &datagram, sizeof datagram, 0, V4));
}

static void raw_other_protocol(void)
{
    send_raw(AF_INET, 253, TEXT, V4);
}

static void raw_other_protocol6(void)
{
    struct sockaddr_in6 to = target.v6;
    to.sin6_port = 0;
    send_raw(AF_INET6, 253, TEXT, &to, sizeof to);
}

static void raw_long_name(void)
{
    static char longer[256];
    struct iovec part = {target.text, target.length};
    struct msghdr message = {
        .msg_name = longer, .msg_namelen = 200, .msg_iov = &part, .msg_iovlen = 1};
    memcpy(longer, &target.v4, sizeof target.v4);
    int fd = way_socket(AF_INET, SOCK_RAW, 253);
    way_done("sendmsg", sendmsg(fd, &message, 0));
}

const struct way packet_ways[] = {
    {"packet_raw", packet_raw},
    {"packet_dgram", packet_dgram},
    {"packet_bound_write", packet_bound_write},
    {"packet_old", packet_old},
    {"packet_ring", packet_ring},
    {"packet_instruction", packet_instruction},
    {"packet_xdp", packet_xdp},
    {"raw_tcp", raw_tcp},
    {"raw_tcp_connect", raw_tcp_connect},
    {"raw_udp", raw_udp},
    {"raw_icmp", raw_icmp},
    {"raw_icmp6", raw_icmp6},
    {"raw_with_header", raw_with_header},
    {"raw_header_option", raw_header_option},
    {"raw_other_protocol", raw_other_protocol},
    {"raw_other_protocol6", raw_other_protocol6},
    {"raw_long_name", raw_long_name},
    {0},
};
