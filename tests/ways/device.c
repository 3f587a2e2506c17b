/* Ways by the kernel's own packets: devices, programs of BPF, the administration of interfaces,
 * file systems. */
#include "way.h"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

/* An echo request from the target to this host. The kernel sends the reply to the target. */
struct echo {
    struct iphdr ip;
    struct icmphdr icmp;
    char text[32];
} __attribute__((packed));

static uint16_t checksum(const void *octets, size_t size)
{
    uint32_t sum = 0;
    for (size_t at = 0; at < size; at += 2) {
        uint16_t word;
        memcpy(&word, (const char *)octets + at, 2);
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static struct echo echo_request(void)
{
    struct echo e = {.ip = {.version = 4,
                            .ihl = 5,
                            .ttl = 64,
                            .protocol = IPPROTO_ICMP,
                            .tot_len = htons(sizeof e),
                            .saddr = target.v4.sin_addr.s_addr,
                            .daddr = htonl(0x0a580902)},
                     .icmp = {.type = ICMP_ECHO}};
    e.ip.check = checksum(&e.ip, sizeof e.ip);
    e.icmp.checksum = checksum(&e.icmp, sizeof e - sizeof e.ip);
    return e;
}

static void tun_reply(void)
{
    struct ifreq device = {.ifr_name = "ways%d", .ifr_flags = IFF_TUN | IFF_NO_PI};
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    way_need("tun", tun);
    way_need("TUNSETIFF", ioctl(tun, TUNSETIFF, &device));
    device.ifr_flags = IFF_UP;
    way_need("SIOCSIFFLAGS", ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &device));
    struct echo request = echo_request();
    way_done("write", write(tun, &request, sizeof request));
}

static long call_bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int load_program(uint32_t type, const struct bpf_insn *code, uint32_t count)
{
    union bpf_attr load = {.prog_type = type,
                           .insns = (uintptr_t)code,
                           .insn_cnt = count,
                           .license = (uintptr_t) "GPL"};
    return (int)way_need("BPF_PROG_LOAD", call_bpf(BPF_PROG_LOAD, &load));
}

/* A frame with an Ethernet header. The destination is the device's own address. */
static void make_frame(char *frame, const void *packet, size_t size)
{
    struct ifreq device = {.ifr_name = DEVICE};
    ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCGIFHWADDR, &device);
    memcpy(frame, device.ifr_hwaddr.sa_data, 6);
    memcpy(frame + 6, "\2\0\0\0\0\x99\x08\0", 8);
    memcpy(frame + 14, packet, size);
}

/* The program passes the frame to the stack, as if the device had received it. */
static void bpf_live_frames(void)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT}};
    char frame[sizeof(struct echo) + 14];
    struct echo request = echo_request();
    make_frame(frame, &request, sizeof request);
    struct xdp_md context = {.data_end = sizeof frame, .ingress_ifindex = way_device()};
    union bpf_attr run = {.test = {.prog_fd = (uint32_t)load_program(BPF_PROG_TYPE_XDP, code, 2),
                                   .data_in = (uintptr_t)frame,
                                   .data_size_in = sizeof frame,
                                   .ctx_in = (uintptr_t)&context,
                                   .ctx_size_in = sizeof context,
                                   .repeat = 1,
                                   .flags = BPF_F_TEST_XDP_LIVE_FRAMES}};
    way_done("bpf", call_bpf(BPF_PROG_TEST_RUN, &run));
}

/* The program sends a copy of the packet to the device. */
static void bpf_clone_redirect(void)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = (int)way_device()},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_clone_redirect},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    char frame[sizeof(struct echo) + 14];
    struct echo packet = echo_request();
    make_frame(frame, &packet, sizeof packet);
    union bpf_attr run = {
        .test = {.prog_fd = (uint32_t)load_program(BPF_PROG_TYPE_SCHED_CLS, code, 5),
                 .data_in = (uintptr_t)frame,
                 .data_size_in = sizeof frame,
                 .repeat = 1}};
    way_done("bpf", call_bpf(BPF_PROG_TEST_RUN, &run));
}

/* Duplicate address detection asks the neighbours for the new address. */
static void ioctl_address(void)
{
    struct {
        struct in6_addr address;
        uint32_t prefix;
        int device;
    } request = {target.v6.sin6_addr, 128, (int)way_device()};
    int fd = way_socket(AF_INET6, SOCK_DGRAM, 0);
    long result = ioctl(fd, SIOCSIFADDR, &request);
    int error = errno;
    usleep(100000);
    ioctl(fd, SIOCDIFADDR, &request);
    errno = error;
    way_done("ioctl", result);
}

struct route_message {
    struct nlmsghdr header;
    union {
        struct ifaddrmsg address;
        struct ndmsg neighbour;
    } body;
    struct rtattr attribute;
    uint8_t value[16];
};

static long send_route(struct route_message *message, int type, size_t body, const void *value,
                       uint16_t size)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
    } answer;
    char octets[sizeof *message] = {0};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    const uint16_t kind = type == RTM_NEWNEIGH ? (uint16_t)NDA_DST : (uint16_t)IFA_LOCAL;
    const struct rtattr attribute = {(uint16_t)(sizeof attribute + size), kind};
    const size_t at = sizeof message->header + body;
    message->header.nlmsg_len = (uint32_t)(at + attribute.rta_len);
    message->header.nlmsg_type = (uint16_t)type;
    message->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    memcpy(octets, message, at);
    memcpy(octets + at, &attribute, sizeof attribute);
    memcpy(octets + at + sizeof attribute, value, size);
    way_need("netlink", send(fd, octets, message->header.nlmsg_len, 0));
    way_need("netlink", recv(fd, &answer, sizeof answer, 0));
    errno = -answer.error.error;
    return answer.error.error ? -1 : 0;
}

static void netlink_address(void)
{
    struct route_message message = {
        .body.address = {.ifa_family = AF_INET6, .ifa_prefixlen = 128, .ifa_index = way_device()}};
    long result =
        send_route(&message, RTM_NEWADDR, sizeof message.body.address, &target.v6.sin6_addr, 16);
    int error = errno;
    usleep(100000);
    send_route(&message, RTM_DELADDR, sizeof message.body.address, &target.v6.sin6_addr, 16);
    errno = error;
    way_done("netlink", result);
}

/* The kernel looks for the neighbour. */
static void netlink_neighbour(void)
{
    struct route_message message = {.body.neighbour = {.ndm_family = AF_INET,
                                                       .ndm_ifindex = (int)way_device(),
                                                       .ndm_state = NUD_NONE,
                                                       .ndm_flags = NTF_USE}};
    way_done("netlink", send_route(&message, RTM_NEWNEIGH, sizeof message.body.neighbour,
                                   &target.v4.sin_addr, 4));
}

static void mount_remote(const char *type, const char *source, const char *options)
{
    way_need("unshare", unshare(CLONE_NEWNS));
    way_need("mount", mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    long result = mount(source, way_folder(), type, 0, options);
    if (result < 0 && errno == ENODEV)
        way_unavailable(type);
    way_done("mount", result);
}

static void mount_nfs(void)
{
    char source[64], options[128];
    snprintf(source, sizeof source, "%s:/", target.host4);
    snprintf(options, sizeof options, "addr=%s,clientaddr=10.88.9.2,vers=4.2", target.host4);
    mount_remote("nfs4", source, options);
}

static void mount_cifs(void)
{
    char source[64], options[128];
    snprintf(source, sizeof source, "//%s/share", target.host4);
    snprintf(options, sizeof options, "ip=%s,unc=\\\\%s\\share,user=a,pass=a", target.host4,
             target.host4);
    mount_remote("cifs", source, options);
}

static void mount_9p(void)
{
    mount_remote("9p", target.host4, "trans=tcp");
}

static void mount_ceph(void)
{
    char source[64];
    snprintf(source, sizeof source, "%s:/", target.host4);
    mount_remote("ceph", source, "name=a,secret=AAAA");
}

const struct way device_ways[] = {
    {"tun_reply", tun_reply},
    {"bpf_live_frames", bpf_live_frames},
    {"bpf_clone_redirect", bpf_clone_redirect},
    {"ioctl_address", ioctl_address},
    {"netlink_address", netlink_address},
    {"netlink_neighbour", netlink_neighbour},
    {"mount_nfs", mount_nfs},
    {"mount_cifs", mount_cifs},
    {"mount_9p", mount_9p},
    {"mount_ceph", mount_ceph},
    {0},
};
