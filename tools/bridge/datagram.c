/* Relays the datagrams of an association. Each datagram of the client, with its SOCKS header, is sealed and sent to the
 * server's relay. Datagrams of the relay take the opposite way.
 *
 * INNER accepts datagrams only from the first sender on this machine. OUTER is connected to the relay. Datagrams of all
 * others are dropped by the kernel. A datagram that cannot be forwarded is dropped, as on a network.
 *
 * The streams to the client and to the server carry no data. The association ends when one of them ends. */
#include "datagram.h"
#include "client.h"
#include "conn.h"
#include "endpoint.h"
#include "error.h"
#include "format.h"
#include "journal.h"
#include "peer.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 32

/* --- the streams --- */

static void stream_ready(struct conn *c, struct watch *w)
{
    ssize_t n = recv(w->fd, scratch_in, sizeof scratch_in, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || w->over)
        conn_end(c);
}

static void client_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    stream_ready(CONN_OF(w, relay.client), w);
}

static void server_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    stream_ready(CONN_OF(w, relay.server), w);
}

/* --- datagrams --- */

/* Receives a datagram into scratch_in. Returns its length, or -1 if there is none. Returns 0 for an error of an earlier
 * datagram (ICMP): the kernel reports each error once, and it is ignored. */
static ssize_t receive_datagram(struct watch *w, struct sockaddr_storage *from, socklen_t *len)
{
    ssize_t n = recvfrom(w->fd, scratch_in, sizeof scratch_in, MSG_DONTWAIT, (struct sockaddr *)from, len);
    return n < 0 && errno != EAGAIN ? 0 : n;
}

/* Connects INNER to the sender of the first datagram. Returns false if the sender is not a socket of this user, or if
 * connect() fails. */
static bool pin_client(struct conn *c, const struct sockaddr_storage *from, socklen_t len)
{
    if (!peer_is_same_user(c->inner.fd, (const struct sockaddr *)from, len)) {
        journal(S5_LOG_WARNING, "dropped a datagram of another user");
        return false;
    }
    c->pinned = connect(c->inner.fd, (const struct sockaddr *)from, len) == 0;
    return c->pinned;
}

static void inner_ready(struct watch *w, uint32_t ready)
{
    struct conn *c = CONN_OF(w, inner);
    (void)ready;
    for (int i = 0; i < ROUNDS; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        ssize_t n = receive_datagram(w, &from, &len);
        if (n < 0)
            return;
        if (n == 0 || (!c->pinned && !pin_client(c, &from, len)))
            continue;
        const uint8_t *out = scratch_in;
        if (c->sealed) {
            n = s5_seal_wrap(&c->seal, scratch_in, (size_t)n, scratch_out, sizeof scratch_out);
            out = scratch_out;
        }
        if (n > 0)
            (void)!send(c->outer.fd, out, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void outer_ready(struct watch *w, uint32_t ready)
{
    struct conn *c = CONN_OF(w, outer);
    (void)ready;
    for (int i = 0; i < ROUNDS; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        ssize_t n = receive_datagram(w, &from, &len);
        if (n < 0)
            return;
        if (c->sealed && n > 0)
            n = s5_seal_unwrap_datagram(&c->seal, scratch_in, (size_t)n, scratch_in, sizeof scratch_in);
        if (n > 0 && c->pinned)
            (void)!send(c->inner.fd, scratch_in, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* --- start --- */

/* Opens a datagram socket with the local address of the stream FD. If FD is a UNIX socket, the new socket has the
 * unspecified address of FAMILY. Stores its address in RET. Returns the descriptor, or -errno. */
static int open_datagram_socket(int fd, int family, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    *ret_len = sizeof *ret;
    if (getsockname(fd, (struct sockaddr *)ret, ret_len) < 0)
        return -errno;
    if (ret->ss_family == AF_UNIX) {
        *ret_len = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        memset(ret, 0, sizeof *ret);
        ret->ss_family = (sa_family_t)family;
    }
    s5_endpoint_set_port((struct sockaddr *)ret, 0);
    int udp = socket(ret->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp < 0)
        return -errno;
    if (bind(udp, (struct sockaddr *)ret, *ret_len) < 0 || getsockname(udp, (struct sockaddr *)ret, ret_len) < 0) {
        int error = -errno;
        close(udp);
        return error;
    }
    return udp;
}

/* Connects FD, a datagram socket of FAMILY, to the relay. Returns 0, or -errno, logged. */
static int connect_to_relay(const struct conn *c, int fd, const struct s5_addr *bound, int family)
{
    struct sockaddr_storage relay;
    socklen_t len;
    char text[S5_ADDR_TEXT_MAX], why[S5_UDP_RELAY_WHY];
    int result = s5_client_relay(c->policy, conn_server(c), c->relay.server.fd, bound, family, &relay, &len, why);
    if (result == 0 && connect(fd, (struct sockaddr *)&relay, len) < 0) {
        result = -errno;
        s5_format(why, sizeof why, "%s", s5_error_text(result));
    }
    if (result < 0)
        journal(S5_LOG_ERROR, "refused: UDP through server \"%s\": relay %s: %s", conn_server_name(c),
                s5_addr_format(bound, text, sizeof text), why);
    return result;
}

static int open_outer(struct conn *c, const struct s5_addr *bound)
{
    struct sockaddr_storage at;
    socklen_t len;
    int family = bound->kind == S5_ADDR_IPV6 ? AF_INET6 : AF_INET;
    int fd = open_datagram_socket(c->relay.server.fd, family, &at, &len);
    if (fd < 0)
        return fd;
    c->outer = (struct watch){.fd = fd, .lasting = true, .ready = outer_ready};
    int result = connect_to_relay(c, fd, bound, at.ss_family);
    return result < 0 ? result : loop_set_events(&c->outer, EPOLLIN);
}

static int open_inner(struct conn *c, struct s5_addr *ret)
{
    struct sockaddr_storage at;
    socklen_t len;
    int fd = open_datagram_socket(c->relay.client.fd, AF_INET, &at, &len);
    if (fd < 0)
        return fd;
    c->inner = (struct watch){.fd = fd, .lasting = true, .ready = inner_ready};
    int result = s5_addr_from_sockaddr(ret, (struct sockaddr *)&at, len);
    return result < 0 ? result : loop_set_events(&c->inner, EPOLLIN);
}

void datagram_begin(struct conn *c, const struct s5_addr *bound)
{
    struct s5_addr here;
    int result = open_outer(c, bound);
    if (result == 0)
        result = open_inner(c, &here);
    if (result < 0) {
        conn_refuse(c, result, 0);
        return;
    }
    front_reply(&c->upstream->front, 0, 0, &here);
    if (!conn_say(c))
        return;
    conn_end_upstream(c->upstream);
    c->upstream = NULL;
    c->state = CONN_DATAGRAMS;
    c->relay.client.ready = client_ready;
    c->relay.server.ready = server_ready;
    if (loop_set_events(&c->relay.client, EPOLLIN) < 0 || loop_set_events(&c->relay.server, EPOLLIN) < 0)
        conn_end(c);
}
