/* The public interface for datagrams, used through the shared library. The server is a thread with its own relay. */
#include "socks5client.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The header ---- */

#define CHECK_HEADER(host, port, text)                                                             \
    do {                                                                                           \
        uint8_t out[SOCKS5_DATAGRAM_HEADER_MAX];                                                   \
        int len = sizeof text - 1;                                                                 \
        cr_assert_eq(socks5_datagram_header(host, port, out, sizeof out), len);                    \
        cr_assert_arr_eq(out, text, sizeof text - 1);                                              \
        cr_assert_eq(socks5_datagram_header(host, port, out, sizeof text - 1), len);               \
        cr_assert_eq(socks5_datagram_header(host, port, out, sizeof text - 2), -ENOBUFS);          \
    } while (0)

Test(datagram, headers)
{
    CHECK_HEADER("192.0.2.7", 53, "\0\0\0\1\xc0\0\2\7\0\x35");
    CHECK_HEADER("2001:db8::1", 53, "\0\0\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x35");
    CHECK_HEADER("ns.example", 65535, "\0\0\0\3\xans.example\377\377");
}

Test(datagram, longest_header)
{
    char name[257];
    uint8_t out[SOCKS5_DATAGRAM_HEADER_MAX];
    memset(name, 'a', 256);
    name[255] = '\0';
    cr_assert_eq(socks5_datagram_header(name, 1, out, sizeof out), SOCKS5_DATAGRAM_HEADER_MAX);
    name[255] = 'a';
    name[256] = '\0';
    cr_assert_eq(socks5_datagram_header(name, 1, out, sizeof out), -EINVAL);
    cr_assert_eq(socks5_datagram_header("", 1, out, sizeof out), -EINVAL);
}

Test(datagram, opened)
{
    static const uint8_t whole[] = "\0\0\2\3\4gate\0\7data";
    char host[8] = "before";
    unsigned frag = 99;
    uint16_t port = 99;
    cr_assert_eq(socks5_datagram_open(whole, 15, &frag, host, 4, &port), -ENOSPC);
    cr_assert_eq(socks5_datagram_open(whole, 10, &frag, host, sizeof host, &port), -EPROTO);
    cr_assert_eq(socks5_datagram_open("\0\1\0\1\1\1\1\1\0\1", 10, &frag, host, 8, &port), -EPROTO);
    cr_assert_eq(socks5_datagram_open("", 0, NULL, NULL, 0, NULL), -EPROTO);
    cr_assert(frag == 99 && port == 99 && strcmp(host, "before") == 0, "nothing is written");
    cr_assert_eq(socks5_datagram_open(whole, 15, &frag, host, sizeof host, &port), 11);
    cr_assert(frag == 2 && port == 7 && strcmp(host, "gate") == 0);
    cr_assert_eq(socks5_datagram_open(whole, 15, NULL, NULL, 0, NULL), 11);
}

/* ---- An association ---- */

struct relay {
    int listener, udp;
    uint8_t rep;         /* of the reply */
    uint8_t request[10]; /* as received */
    uint8_t heard[64];   /* the first datagram */
    ssize_t heard_len;
    struct sockaddr_in at;
    pthread_t thread;
};

static int bind_loopback(int type, struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, type, 0);
    socklen_t len = sizeof *ret;
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)ret, sizeof *ret), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret, &len), 0);
    return fd;
}

/* Echoes one datagram, after garbage and a fragment. The association ends then. */
static void relay_one(struct relay *r)
{
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    uint8_t fragment[64];
    r->heard_len = recvfrom(r->udp, r->heard, sizeof r->heard, 0, (struct sockaddr *)&from, &len);
    memcpy(fragment, r->heard, sizeof fragment);
    fragment[2] = 1;
    sendto(r->udp, "garbage", 7, 0, (struct sockaddr *)&from, len);
    sendto(r->udp, fragment, (size_t)r->heard_len, 0, (struct sockaddr *)&from, len);
    sendto(r->udp, r->heard, (size_t)r->heard_len, 0, (struct sockaddr *)&from, len);
}

static void *run_server(void *user)
{
    struct relay *r = user;
    uint8_t greeting[3], reply[10] = {5, r->rep, 0, 1, 0, 0, 0, 0};
    memcpy(reply + 8, &r->at.sin_port, 2); /* zeros: the address at which the server was reached */
    int fd = accept(r->listener, NULL, NULL);
    if (recv(fd, greeting, sizeof greeting, MSG_WAITALL) == 3 && send(fd, "\5\0", 2, 0) == 2 &&
        recv(fd, r->request, sizeof r->request, MSG_WAITALL) == sizeof r->request &&
        send(fd, reply, sizeof reply, 0) == sizeof reply && r->rep == 0)
        relay_one(r);
    usleep(50000);
    close(fd);
    return NULL;
}

static void start_server(struct relay *r, char url[static 64])
{
    struct sockaddr_in at;
    r->listener = bind_loopback(SOCK_STREAM, &at);
    cr_assert_eq(listen(r->listener, 4), 0);
    snprintf(url, 64, "socks5h://127.0.0.1:%u", ntohs(at.sin_port));
    r->udp = bind_loopback(SOCK_DGRAM, &r->at);
    cr_assert_eq(pthread_create(&r->thread, NULL, run_server, r), 0);
}

static void stop_server(struct relay *r)
{
    pthread_join(r->thread, NULL);
    close(r->listener);
    close(r->udp);
}

Test(association, send_and_receive, .timeout = 30)
{
    struct relay r = {0};
    struct socks5_association *a = NULL;
    char url[64], host[64], buf[3];
    uint16_t port = 0;
    start_server(&r, url);
    cr_assert_eq(socks5_associate(url, 5000, &a), 0);
    cr_assert_arr_eq(r.request, "\5\3\0\1\0\0\0\0\0\0", 10, "zeros are declared");
    cr_assert_eq(fcntl(socks5_association_fd(a), F_GETFD), FD_CLOEXEC);
    cr_assert_eq(socks5_association_recv(a, 0, buf, sizeof buf, host, sizeof host, &port),
                 -ETIMEDOUT);
    cr_assert_eq(socks5_association_send(a, "a b", 7, "hello", 5), -EINVAL);
    cr_assert_eq(socks5_association_send(a, "echo.example", 7, "hello", 5), 5);
    cr_assert_eq(socks5_association_recv(a, 5000, buf, sizeof buf, host, sizeof host, &port), 5);
    cr_assert(memcmp(buf, "hel", 3) == 0 && strcmp(host, "echo.example") == 0 && port == 7);
    cr_assert_eq(r.heard_len, 7 + 12 + 5);
    cr_assert_arr_eq(r.heard, "\0\0\0\3\14echo.example\0\7hello", 24);
    cr_assert_eq(socks5_association_recv(a, 5000, buf, sizeof buf, NULL, 0, NULL), -ECONNRESET);
    socks5_association_free(a);
    stop_server(&r);
}

Test(association, refused, .timeout = 30)
{
    struct relay r = {.rep = 7};
    struct socks5_association *a = NULL;
    char url[64];
    start_server(&r, url);
    cr_assert_eq(socks5_associate(url, 5000, &a), -EOPNOTSUPP);
    cr_assert_null(a);
    cr_assert_eq(socks5_associate("http://127.0.0.1", 5000, &a), -EINVAL);
    socks5_association_free(NULL);
    stop_server(&r);
}
