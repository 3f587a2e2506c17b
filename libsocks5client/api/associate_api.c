/* Datagrams (RFC 1928 sections 6 and 7): functions for the header, and functions for a whole association. An
 * association has a datagram socket that is connected to the relay, so the kernel drops datagrams from other
 * addresses. The control connection carries no data after the negotiation; the association ends with it. */
#include "addr.h"
#include "client.h"
#include "clock.h"
#include "dial.h"
#include "export.h"
#include "gss_link.h"
#include "session.h"
#include "socks5client.h"
#include "udp_header.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct socks5_association {
    int control; /* control connection; the association ends with it; -1: none */
    int udp;     /* datagram socket, connected to the relay; -1: none */
};

/* ---- The header ---- */

S5_EXPORT int socks5_datagram_header(const char *host, uint16_t port, void *out, size_t size)
{
    struct s5_addr to;
    if (s5_addr_parse(&to, host, strlen(host), port) < 0)
        return -EINVAL;
    struct s5_writer w = s5_writer_init(out, size);
    s5_udp_header_write(&w, 0, &to);
    return w.failed ? -ENOBUFS : (int)s5_udp_header_len(&to);
}

S5_EXPORT int socks5_datagram_open(const void *datagram, size_t n, unsigned *ret_frag, char *host, size_t size,
                                   uint16_t *ret_port)
{
    struct s5_udp_header head;
    if (s5_udp_header_read(datagram, n, &head) < 0)
        return -EPROTO;
    int result = host ? s5_dial_text(&head.from, host, size, ret_port) : 0;
    if (result < 0)
        return result;
    if (ret_frag)
        *ret_frag = head.frag;
    return head.header_len;
}

/* ---- The association ---- */

static int open_udp(struct socks5_association *a, const struct s5_session *session)
{
    struct sockaddr_storage relay;
    socklen_t len;
    char why[S5_UDP_RELAY_WHY];
    int result = s5_client_relay(NULL, NULL, a->control, s5_session_bound(session), AF_UNSPEC, &relay, &len, why);
    if (result < 0)
        return result;
    a->udp = socket(relay.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return a->udp < 0 || connect(a->udp, (struct sockaddr *)&relay, len) < 0 ? -errno : 0;
}

S5_EXPORT int socks5_associate(const char *url, int timeout_ms, struct socks5_association **ret)
{
    struct s5_gss_link link;
    struct socks5_association *a = malloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->udp = -1;
    a->control = s5_dial(url, S5_UDP_ASSOCIATE, NULL, 0, timeout_ms, &link);
    int result = a->control < 0 ? a->control : open_udp(a, &link.session);
    s5_session_wipe(&link.session);
    if (result < 0)
        socks5_association_free(a);
    else
        *ret = a;
    return result;
}

S5_EXPORT int socks5_association_fd(const struct socks5_association *association)
{
    return association->udp;
}

S5_EXPORT ssize_t socks5_association_send(struct socks5_association *association, const char *host, uint16_t port,
                                          const void *data, size_t n)
{
    uint8_t head[S5_UDP_HEADER_MAX];
    int len = socks5_datagram_header(host, port, head, sizeof head);
    if (len < 0)
        return len;
    struct iovec iov[] = {{head, (size_t)len}, {(void *)(uintptr_t)data, n}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t sent;
    do
        sent = sendmsg(association->udp, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (ssize_t)n;
}

/* Waits for a datagram until the time UNTIL. Returns 0: the datagram socket is readable or has an error;
 * -ECONNRESET: the control connection has ended; -ETIMEDOUT; or another -errno. */
static int await_datagram(const struct socks5_association *a, uint64_t until)
{
    struct pollfd p[] = {{.fd = a->udp, .events = POLLIN}, {.fd = a->control, .events = POLLIN}};
    for (;;) {
        struct timespec left;
        int n = ppoll(p, 2, s5_clock_left(until, s5_clock_now(), &left), NULL);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return p[0].revents ? 0 : -ECONNRESET;
        if (n == 0 && s5_clock_now() >= until)
            return -ETIMEDOUT;
    }
}

S5_EXPORT ssize_t socks5_association_recv(struct socks5_association *association, int timeout_ms, void *buf, size_t n,
                                          char *host, size_t size, uint16_t *ret_port)
{
    uint64_t until = s5_dial_until(timeout_ms);
    int result;
    while ((result = await_datagram(association, until)) == 0) {
        uint8_t whole[UINT16_MAX];
        ssize_t len = recv(association->udp, whole, sizeof whole, MSG_DONTWAIT);
        unsigned frag;
        int head = len < 0 ? -1 : socks5_datagram_open(whole, (size_t)len, &frag, NULL, 0, NULL);
        if (head < 0 || frag != 0) /* not a valid datagram, or a fragment */
            continue;
        if (host && (result = socks5_datagram_open(whole, (size_t)len, NULL, host, size, ret_port)) < 0)
            break;
        size_t data = (size_t)len - (size_t)head;
        memcpy(buf, whole + head, data < n ? data : n);
        return (ssize_t)data;
    }
    return result;
}

S5_EXPORT void socks5_association_free(struct socks5_association *association)
{
    if (!association)
        return;
    if (association->udp >= 0)
        close(association->udp);
    if (association->control >= 0)
        close(association->control);
    free(association);
}
