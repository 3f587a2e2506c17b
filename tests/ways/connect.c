/* Ways by connect() and what connects a stream socket, through functions of libc. */
#include "way.h"
#include <sys/uio.h>

static void connect_stream(int family, int protocol, const void *address, socklen_t length)
{
    int fd = way_socket(family, SOCK_STREAM | SOCK_NONBLOCK, protocol);
    way_done("connect", connect(fd, address, length));
}

/* connect() with an address in a buffer that is longer than the address. */
static void connect_length(const void *address, size_t size, socklen_t length)
{
    char longer[256] = {0};
    memcpy(longer, address, size);
    connect_stream(((const struct sockaddr *)address)->sa_family, 0, longer, length);
}

static void tcp4(void)
{
    connect_stream(AF_INET, 0, V4);
}

static void tcp6(void)
{
    connect_stream(AF_INET6, 0, V6);
}

static void tcp_mapped(void)
{
    connect_stream(AF_INET6, 0, &target.mapped, sizeof target.mapped);
}

static void tcp_blocking(void)
{
    way_done("connect", connect(way_socket(AF_INET, SOCK_STREAM, 0), V4));
}

static void tcp4_length_15(void)
{
    connect_length(&target.v4, sizeof target.v4, 15);
}

static void tcp4_length_28(void)
{
    connect_length(&target.v4, sizeof target.v4, 28);
}

static void tcp4_length_110(void)
{
    connect_length(&target.v4, sizeof target.v4, 110);
}

static void tcp4_length_128(void)
{
    connect_length(&target.v4, sizeof target.v4, 128);
}

static void tcp4_length_129(void)
{
    connect_length(&target.v4, sizeof target.v4, 129);
}

static void tcp6_length_24(void)
{
    connect_length(&target.v6, sizeof target.v6, 24);
}

static void tcp6_length_110(void)
{
    connect_length(&target.v6, sizeof target.v6, 110);
}

static void tcp6_length_128(void)
{
    connect_length(&target.v6, sizeof target.v6, 128);
}

static void mptcp(void)
{
    connect_stream(AF_INET, 262, V4);
}

static void mptcp6(void)
{
    connect_stream(AF_INET6, 262, V6);
}

static void sctp(void)
{
    connect_stream(AF_INET, IPPROTO_SCTP, V4);
}

static void dccp(void)
{
    int fd = way_socket(AF_INET, SOCK_DCCP, IPPROTO_DCCP);
    way_done("connect", connect(fd, V4));
}

static void tcp_repair(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM, 0), on = 1, off = 0;
    way_need("TCP_REPAIR", setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on));
    if (connect(fd, V4) != 0 || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off) != 0)
        way_end("repair", errno);
    way_done("write", write(fd, TEXT));
}

static void tcp_repair_instruction(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM, 0), on = 1, off = 0;
    way_need("TCP_REPAIR", setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on));
    WAY_CALL(SYS_connect, fd, &target.v4, sizeof target.v4, 0, 0, 0);
    way_need("TCP_REPAIR", setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off));
    way_done("write", write(fd, TEXT));
}

/* connect() with the option returns at once, and the first write sends the SYN. */
static int fastopen_socket(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    way_need("TCP_FASTOPEN_CONNECT",
             setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
    return fd;
}

static void fastopen_connect_write(void)
{
    int fd = fastopen_socket();
    connect(fd, V4);
    way_done("write", write(fd, TEXT));
}

static void fastopen_connect_instruction(void)
{
    int fd = fastopen_socket();
    WAY_CALL(SYS_connect, fd, &target.v4, sizeof target.v4, 0, 0, 0);
    way_done("write", write(fd, TEXT));
}

static void fastopen_sendto(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_done("sendto", sendto(fd, TEXT, MSG_FASTOPEN, V4));
}

static void fastopen_sendto6(void)
{
    int fd = way_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_done("sendto", sendto(fd, TEXT, MSG_FASTOPEN, V6));
}

static struct msghdr fastopen_message(void *name, socklen_t length)
{
    static struct iovec part;
    part = (struct iovec){target.text, target.length};
    return (struct msghdr){
        .msg_name = name, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};
}

static void fastopen_sendmsg(void)
{
    struct msghdr message = fastopen_message(&target.v4, sizeof target.v4);
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_done("sendmsg", sendmsg(fd, &message, MSG_FASTOPEN));
}

static void fastopen_sendmmsg(void)
{
    struct mmsghdr message = {.msg_hdr = fastopen_message(&target.v4, sizeof target.v4)};
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_done("sendmmsg", sendmmsg(fd, &message, 1, MSG_FASTOPEN));
}

/* The kernel uses the first 128 octets of a longer name. */
static void fastopen_long_name(void)
{
    static char longer[256];
    memcpy(longer, &target.v4, sizeof target.v4);
    struct msghdr message = fastopen_message(longer, 200);
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_done("sendmsg", sendmsg(fd, &message, MSG_FASTOPEN));
}

const struct way connect_ways[] = {
    {"tcp4", tcp4},
    {"tcp6", tcp6},
    {"tcp_mapped", tcp_mapped},
    {"tcp_blocking", tcp_blocking},
    {"tcp4_length_15", tcp4_length_15},
    {"tcp4_length_28", tcp4_length_28},
    {"tcp4_length_110", tcp4_length_110},
    {"tcp4_length_128", tcp4_length_128},
    {"tcp4_length_129", tcp4_length_129},
    {"tcp6_length_24", tcp6_length_24},
    {"tcp6_length_110", tcp6_length_110},
    {"tcp6_length_128", tcp6_length_128},
    {"mptcp", mptcp},
    {"mptcp6", mptcp6},
    {"sctp", sctp},
    {"dccp", dccp},
    {"tcp_repair", tcp_repair},
    {"tcp_repair_instruction", tcp_repair_instruction},
    {"fastopen_connect_write", fastopen_connect_write},
    {"fastopen_connect_instruction", fastopen_connect_instruction},
    {"fastopen_sendto", fastopen_sendto},
    {"fastopen_sendto6", fastopen_sendto6},
    {"fastopen_sendmsg", fastopen_sendmsg},
    {"fastopen_sendmmsg", fastopen_sendmmsg},
    {"fastopen_long_name", fastopen_long_name},
    {0},
};
