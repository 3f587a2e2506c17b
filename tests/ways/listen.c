/* Ways by listeners: the kernel answers the SYN of an outside host. The test connects to port 10000
 * + token. */
#include "way.h"

/* A socket whose port may have been in use a moment ago. */
static int new_socket(int family, int type, int protocol)
{
    int fd = way_socket(family, type, protocol), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return fd;
}

static struct sockaddr_in6 own_address(void)
{
    const uint16_t port = (uint16_t)(10000 + target.token);
    return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
}

static struct sockaddr_in own_address4(void)
{
    const uint16_t port = (uint16_t)(10000 + target.token);
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
}

static _Noreturn void wait_for_peer(long result, int fd)
{
    struct pollfd came = {.fd = fd, .events = POLLIN};
    if (result < 0)
        way_end("listen", errno);
    poll(&came, 1, 250);
    way_end("accept", accept(fd, NULL, NULL) < 0 ? errno : 0);
}

static int bound_socket(void)
{
    struct sockaddr_in own = own_address4();
    int fd = new_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_need("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
    return fd;
}

static void listen_call(void)
{
    int fd = bound_socket();
    wait_for_peer(listen(fd, 1), fd);
}

static void listen_both_families(void)
{
    struct sockaddr_in6 own = own_address();
    int fd = new_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    way_need("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
    wait_for_peer(listen(fd, 1), fd);
}

static void listen_multipath(void)
{
    struct sockaddr_in own = own_address4();
    int fd = new_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 262);
    way_need("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
    wait_for_peer(listen(fd, 1), fd);
}

static void listen_instruction(void)
{
    struct sockaddr_in own = own_address4();
    int fd = new_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    WAY_CALL(SYS_bind, fd, &own, sizeof own, 0, 0, 0);
    errno = (int)-WAY_CALL(SYS_listen, fd, 1, 0, 0, 0, 0);
    wait_for_peer(errno ? -1 : 0, fd);
}

static void listen_handle(void)
{
    int (*found)(int, int) =
        way_function(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), "listen", NULL);
    int fd = bound_socket();
    wait_for_peer(found(fd, 1), fd);
}

/* Outside datagrams are answered from where they came. The trap's end sends one to the port. */
static void answer_datagram(void)
{
    struct sockaddr_in own = own_address4();
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    char octets[64];
    int fd = new_socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd came = {.fd = fd, .events = POLLIN};
    way_need("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
    if (poll(&came, 1, 250) <= 0 ||
        recvfrom(fd, octets, sizeof octets, MSG_DONTWAIT, (void *)&from, &length) < 0)
        way_end("recvfrom", EAGAIN);
    way_done("sendto", sendto(fd, TEXT, 0, (struct sockaddr *)&from, length));
}

const struct way listen_ways[] = {
    {"listen_call", listen_call},
    {"listen_both_families", listen_both_families},
    {"listen_multipath", listen_multipath},
    {"listen_instruction", listen_instruction},
    {"listen_handle", listen_handle},
    {"listen_datagram", answer_datagram},
    {0},
};
