/* A client that makes plain POSIX calls. It is linked with glibc and musl, statically and dynamically. Each command
 * prints its result in short lines. If a call fails, the name of the errno is printed and the exit status is 1. */
#include "errno_names.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char REQUEST[] = "GET / HTTP/1.0\r\nHost: x\r\n\r\n";
enum { UDP_SECONDS = 20, PING_SECONDS = 3, SILENCE_MS = 60000 };

static _Noreturn void fail_with(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static int check(int result)
{
    if (result < 0)
        fail_with(errno_name(errno));
    return result;
}

/* --- addresses and connections --- */

static const char *lookup_error(int error)
{
    switch (error) {
    case EAI_NONAME:
        return "EAI_NONAME";
    case EAI_AGAIN:
        return "EAI_AGAIN";
    case EAI_FAIL:
        return "EAI_FAIL";
    case EAI_SYSTEM:
        return errno_name(errno);
    default:
        return gai_strerror(error);
    }
}

static struct addrinfo *look_up(const char *host, const char *port, int type)
{
    struct addrinfo hints = {.ai_socktype = type}, *found;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error)
        fail_with(lookup_error(error));
    return found;
}

/* Connects to the first address that accepts, as most programs do. */
static int connect_to(const char *host, const char *port)
{
    for (struct addrinfo *a = look_up(host, port, SOCK_STREAM); a; a = a->ai_next) {
        int fd = check(socket(a->ai_family, SOCK_STREAM, 0));
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            return fd;
        int error = errno;
        close(fd);
        errno = error;
    }
    fail_with(errno_name(errno));
}

static int socket_for(const struct addrinfo *address, int type)
{
    int fd = check(socket(address->ai_family, type, 0));
    struct timeval wait = {.tv_sec = UDP_SECONDS};
    if (type == SOCK_DGRAM)
        check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
    return fd;
}

static int start_connect(const struct addrinfo *address)
{
    int fd = socket_for(address, SOCK_STREAM);
    check(fcntl(fd, F_SETFL, O_NONBLOCK));
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail_with(errno_name(errno));
    return fd;
}

static void check_pending(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    check(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    if (error)
        fail_with(errno_name(error));
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, 0);
        check((int)n);
        data += n;
        len -= (size_t)n;
    }
}

static void print_all(int fd)
{
    char data[16384];
    ssize_t n;
    while ((n = read(fd, data, sizeof(data))) > 0)
        fwrite(data, 1, (size_t)n, stdout);
    check((int)n);
}

/* Reads the header of a reply up to its empty line. */
static void skip_header(int fd)
{
    const char end[] = "\r\n\r\n";
    char c;
    for (size_t at = 0; end[at];) {
        ssize_t n = read(fd, &c, 1);
        check((int)n);
        if (n == 0)
            fail_with("the reply ended within its header");
        at = c == end[at] ? at + 1 : c == '\r';
    }
}

/* --- TCP --- */

static void run_tcp(char **argv)
{
    int fd = connect_to(argv[0], argv[1]);
    send_all(fd, REQUEST, strlen(REQUEST));
    skip_header(fd);
    print_all(fd);
}

static void run_errno(char **argv)
{
    connect_to(argv[0], argv[1]);
    puts("connected");
}

static void run_nonblock(char **argv)
{
    int fd = start_connect(look_up(argv[0], argv[1], SOCK_STREAM));
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (check(poll(&ready, 1, SILENCE_MS)) == 0)
        fail_with("never ready");
    check_pending(fd);
    puts("connected");
}

static void print_state(int fd)
{
    static const char *const names[] = {"no state",  "ESTABLISHED", "SYN_SENT",   "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",
                                        "TIME_WAIT", "CLOSE",       "CLOSE_WAIT", "LAST_ACK", "LISTEN",    "CLOSING"};
    struct tcp_info info;
    socklen_t len = sizeof(info);
    check(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    printf("state %s\n", names[info.tcpi_state % 12]);
}

static void print_events(int count, uint32_t events)
{
    printf("events %d:%s%s%s%s\n", count, events & EPOLLIN ? " IN" : "", events & EPOLLOUT ? " OUT" : "",
           events & EPOLLERR ? " ERR" : "", events & EPOLLHUP ? " HUP" : "");
}

/* Connects a socket that is registered with epoll before or after connect(). Prints the state right after connect(),
 * and how many events came until the socket was ready, with the last of them. */
static void connect_with_epoll(char **argv, bool before)
{
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_STREAM);
    int epoll = check(epoll_create1(0)), count = 0;
    int fd = socket_for(address, SOCK_STREAM);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    check(fcntl(fd, F_SETFL, O_NONBLOCK));
    if (before)
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail_with(errno_name(errno));
    print_state(fd);
    if (!before)
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    do {
        if (check(epoll_wait(epoll, &event, 1, SILENCE_MS)) == 0)
            fail_with("never ready");
        count++;
    } while (!(event.events & (EPOLLOUT | EPOLLERR)));
    print_events(count, event.events);
    check_pending(fd);
    puts("connected");
}

static void run_epoll_before(char **argv)
{
    connect_with_epoll(argv, true);
}

static void run_epoll_after(char **argv)
{
    connect_with_epoll(argv, false);
}

/* Starts all connects at once. When all are connected, each makes one request. */
static void run_many(char **argv)
{
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_STREAM);
    int n = atoi(argv[2]), epoll = check(epoll_create1(0));
    int *fds = calloc((size_t)n, sizeof(*fds));
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < n; i++) {
        fds[i] = start_connect(address);
        struct epoll_event event = {.events = EPOLLOUT, .data.fd = fds[i]};
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event));
    }
    for (int i = 0; i < n; i++) {
        struct epoll_event event;
        if (check(epoll_wait(epoll, &event, 1, SILENCE_MS)) == 0)
            fail_with("never ready");
        check_pending(event.data.fd);
        check(epoll_ctl(epoll, EPOLL_CTL_DEL, event.data.fd, NULL));
    }
    for (int i = 0; i < n; i++) {
        check(fcntl(fds[i], F_SETFL, 0));
        send_all(fds[i], REQUEST, strlen(REQUEST));
    }
    for (int i = 0; i < n; i++) {
        char status[12];
        check((int)recv(fds[i], status, sizeof(status), MSG_WAITALL));
        if (memcmp(status, "HTTP/1.1 200", sizeof(status)) != 0)
            fail_with("a reply is not a page");
        close(fds[i]);
    }
    printf("%d done\n", n);
}

/* The octet of a stream at an offset. */
static char octet_at(size_t offset)
{
    return (char)(offset ^ offset >> 8 ^ offset >> 16);
}

/* Sends what is ready to be sent of SIZE octets from OFFSET on, and returns the new offset. */
static size_t send_some(int fd, size_t offset, size_t size)
{
    char data[65536];
    size_t len = size - offset < sizeof(data) ? size - offset : sizeof(data);
    for (size_t i = 0; i < len; i++)
        data[i] = octet_at(offset + i);
    ssize_t n = send(fd, data, len, MSG_DONTWAIT);
    check((int)n);
    if (offset + (size_t)n == size)
        check(shutdown(fd, SHUT_WR));
    return offset + (size_t)n;
}

/* Sends MIB MiB and closes this direction. What the peer sends is read at the same time. It must be an echo. */
static void run_bulk_out(char **argv)
{
    size_t size = (size_t)atoi(argv[2]) << 20, sent = 0, back = 0;
    int fd = connect_to(argv[0], argv[1]);
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = (short)(sent < size ? POLLIN | POLLOUT : POLLIN)};
        if (check(poll(&ready, 1, SILENCE_MS)) == 0)
            fail_with("nothing moves");
        if (ready.revents & POLLOUT)
            sent = send_some(fd, sent, size);
        if (!(ready.revents & ~POLLOUT))
            continue;
        char data[65536];
        ssize_t n = recv(fd, data, sizeof(data), 0);
        check((int)n);
        for (ssize_t i = 0; i < n; i++)
            if (data[i] != octet_at(back + (size_t)i))
                fail_with("what came back differs");
        back += (size_t)n;
        if (n == 0)
            break;
    }
    printf("%zu octets sent, %zu came back\n", sent, back);
}

/* Gets the file /MIBm, whose size is MIB MiB, by HTTP. */
static void run_bulk_in(char **argv)
{
    char data[65536];
    size_t got = 0;
    ssize_t n;
    int fd = connect_to(argv[0], argv[1]);
    int len = snprintf(data, sizeof(data), "GET /%sm HTTP/1.0\r\nHost: x\r\n\r\n", argv[2]);
    send_all(fd, data, (size_t)len);
    skip_header(fd);
    while ((n = recv(fd, data, sizeof(data), 0)) > 0)
        got += (size_t)n;
    check((int)n);
    if (got != (size_t)atoi(argv[2]) << 20)
        fail_with("the size is wrong");
    printf("%zu octets received\n", got);
}

/* Sends a text to an echo service, closes this direction, and prints what comes back. */
static void run_half_close(char **argv)
{
    const char text[] = "half-closed\n";
    int fd = connect_to(argv[0], argv[1]);
    send_all(fd, text, strlen(text));
    check(shutdown(fd, SHUT_WR));
    print_all(fd);
}

static void print_address(const char *what, const struct sockaddr_storage *address, socklen_t len)
{
    char host[INET6_ADDRSTRLEN], port[8];
    getnameinfo((const struct sockaddr *)address, len, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    printf("%s %s %s\n", what, host, port);
}

/* Accepts one connection and answers it. It is closed when the peer has closed it, so that no octet is lost. */
static void run_listen(char **argv)
{
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_STREAM);
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int fd = socket_for(address, SOCK_STREAM), on = 1;
    check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    check(bind(fd, address->ai_addr, address->ai_addrlen));
    check(listen(fd, 16));
    check(getsockname(fd, (struct sockaddr *)&name, &len));
    print_address("listening", &name, len);
    len = sizeof(name);
    int peer = check(accept(fd, (struct sockaddr *)&name, &len));
    print_address("peer", &name, len);
    send_all(peer, "hello\n", 6);
    check(shutdown(peer, SHUT_WR));
    char data[512];
    while (read(peer, data, sizeof(data)) > 0)
        ;
}

/* --- UDP --- */

/* Receives a reply and checks that it comes from the destination. */
static size_t receive_from(int fd, const struct addrinfo *address, char *data, size_t size)
{
    struct sockaddr_storage source = {0};
    socklen_t len = sizeof(source);
    ssize_t n = recvfrom(fd, data, size, 0, (struct sockaddr *)&source, &len);
    check((int)n);
    if (len != address->ai_addrlen || memcmp(&source, address->ai_addr, len) != 0) {
        print_address("a reply from", &source, len);
        exit(1);
    }
    return (size_t)n;
}

static void run_udp(char **argv)
{
    char reply[1024];
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_DGRAM);
    int fd = socket_for(address, SOCK_DGRAM);
    check((int)sendto(fd, argv[2], strlen(argv[2]), 0, address->ai_addr, address->ai_addrlen));
    printf("%.*s\n", (int)receive_from(fd, address, reply, sizeof(reply)), reply);
}

static void run_udp_connected(char **argv)
{
    char reply[1024];
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_DGRAM);
    int fd = socket_for(address, SOCK_DGRAM);
    check(connect(fd, address->ai_addr, address->ai_addrlen));
    check((int)send(fd, argv[2], strlen(argv[2]), 0));
    int n = check((int)recv(fd, reply, sizeof(reply), 0));
    printf("%.*s\n", n, reply);
}

static void run_udp_sizes(char **argv)
{
    static const size_t sizes[] = {1, 1400, 8000, 20000};
    static char data[20000], reply[65536];
    struct addrinfo *address = look_up(argv[0], argv[1], SOCK_DGRAM);
    int fd = socket_for(address, SOCK_DGRAM);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = octet_at(i);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        printf("%zu ", sizes[i]);
        data[0] = (char)i; /* a late reply differs */
        check((int)sendto(fd, data, sizes[i], 0, address->ai_addr, address->ai_addrlen));
        if (receive_from(fd, address, reply, sizeof(reply)) != sizes[i] || memcmp(reply, data, sizes[i]) != 0)
            fail_with("differs");
    }
    puts("octets");
}

/* --- names --- */

static void run_names(char **argv)
{
    bool v4 = false, v6 = false;
    for (struct addrinfo *a = look_up(argv[0], NULL, SOCK_STREAM); a; a = a->ai_next) {
        v4 = v4 || a->ai_family == AF_INET;
        v6 = v6 || a->ai_family == AF_INET6;
    }
    printf("%s%s%s\n", v4 ? "IPv4" : "", v4 && v6 ? " " : "", v6 ? "IPv6" : "");
}

/* --- other sockets --- */

static uint16_t checksum_of(const unsigned char *data, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* Sends an echo request and waits for the reply. Returns "reply", or the name of the errno. */
static const char *ping_with(const struct addrinfo *address, int type)
{
    bool v4 = address->ai_family == AF_INET;
    unsigned char request[16] = {v4 ? 8 : 128}, reply[1500];
    struct timeval wait = {.tv_sec = PING_SECONDS};
    int fd = socket(address->ai_family, type, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    uint16_t sum = checksum_of(request, sizeof(request));
    memcpy(request + 2, &sum, sizeof(sum));
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
        connect(fd, address->ai_addr, address->ai_addrlen) < 0 || send(fd, request, sizeof(request), 0) < 0)
        return errno_name(errno);
    for (;;) { /* a raw socket also receives the request if the host is this one */
        ssize_t n = recv(fd, reply, sizeof(reply), 0);
        if (n < 0)
            return errno_name(errno);
        size_t header = v4 && type == SOCK_RAW ? (reply[0] & 15) * 4u : 0;
        if ((size_t)n > header && reply[header] == (v4 ? 0 : 129))
            return "reply";
    }
}

static void run_ping(char **argv)
{
    struct addrinfo *address = look_up(argv[0], NULL, SOCK_DGRAM);
    printf("dgram: %s\n", ping_with(address, SOCK_DGRAM));
    printf("raw: %s\n", ping_with(address, SOCK_RAW));
}

/* Writes a datagram to port 9 of ADDRESS, with its IP and UDP headers. Returns the length of the IP header. */
static size_t write_packet(const struct addrinfo *address, unsigned char packet[64], size_t *len)
{
    static const unsigned char udp[] = {0x9C, 0x40, 0, 9, 0, 9, 0, 0, 'x'};
    size_t header;
    memset(packet, 0, 64);
    if (address->ai_family == AF_INET) {
        header = 20;
        memcpy(packet, "\x45\0\0\x1D\0\0\0\0\x40\x11", 10);
        memcpy(packet + 16, &((struct sockaddr_in *)address->ai_addr)->sin_addr, 4);
        uint16_t sum = checksum_of(packet, header);
        memcpy(packet + 10, &sum, sizeof(sum));
    } else {
        header = 40;
        memcpy(packet, "\x60\0\0\0\0\x09\x11\x40", 8);
        memcpy(packet + 24, &((struct sockaddr_in6 *)address->ai_addr)->sin6_addr, 16);
    }
    memcpy(packet + header, udp, sizeof(udp));
    *len = header + sizeof(udp);
    return header;
}

static void report_send(const char *kind, int fd, const void *data, size_t len, const void *to, size_t to_len)
{
    bool sent = fd >= 0 && sendto(fd, data, len, 0, to, (socklen_t)to_len) >= 0;
    printf("%s: %s\n", kind, sent ? "sent" : errno_name(errno));
}

/* The first interface that is not the loopback interface. */
static unsigned interface_index(void)
{
    unsigned index = 1;
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_index; i++)
        if (strcmp(i->if_name, "lo") != 0) {
            index = i->if_index;
            break;
        }
    if_freenameindex(all);
    return index;
}

/* Sends by sockets that bypass TCP and UDP, or IP. */
static void run_raw(char **argv)
{
    struct addrinfo *address = look_up(argv[0], NULL, SOCK_DGRAM);
    int family = address->ai_family, offset = 6;
    unsigned char packet[64];
    size_t len, header = write_packet(address, packet, &len);
    int fd = socket(family, SOCK_RAW, IPPROTO_UDP);
    if (fd >= 0 && family == AF_INET6)
        check(setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof(offset)));
    report_send("udp", fd, packet + header, len - header, address->ai_addr, address->ai_addrlen);

    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6),
                               .sll_ifindex = (int)interface_index(),
                               .sll_halen = 6,
                               .sll_addr = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
    report_send("packet", socket(AF_PACKET, SOCK_DGRAM, 0), packet, len, &link, sizeof(link));

    struct { /* struct sockaddr_vm is in a header of the kernel, which musl-gcc does not find */
        unsigned short family, reserved;
        unsigned port, cid;
        unsigned char zero[4];
    } host = {.family = AF_VSOCK, .port = 9, .cid = 2};
    fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    bool connected = fd >= 0 && connect(fd, (struct sockaddr *)&host, sizeof(host)) == 0;
    printf("vsock: %s\n", connected ? "sent" : errno_name(errno));

    fd = socket(family, SOCK_RAW, IPPROTO_RAW);
    report_send("raw", fd, packet, len, address->ai_addr, address->ai_addrlen);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        void (*run)(char **);
    } commands[] = {{"tcp", 2, run_tcp},
                    {"errno", 2, run_errno},
                    {"nonblock", 2, run_nonblock},
                    {"epoll-before", 2, run_epoll_before},
                    {"epoll-after", 2, run_epoll_after},
                    {"many", 3, run_many},
                    {"bulk-out", 3, run_bulk_out},
                    {"bulk-in", 3, run_bulk_in},
                    {"half-close", 2, run_half_close},
                    {"listen", 2, run_listen},
                    {"udp", 3, run_udp},
                    {"udp-connected", 3, run_udp_connected},
                    {"udp-sizes", 2, run_udp_sizes},
                    {"names", 1, run_names},
                    {"ping", 1, run_ping},
                    {"raw", 1, run_raw}};
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0 && argc == 2 + commands[i].arguments) {
            commands[i].run(argv + 2);
            return 0;
        }
    fprintf(stderr, "unknown command, or a wrong number of arguments\n");
    return 2;
}
