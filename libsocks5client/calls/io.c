/* Octets of the application on a socket that may have a record: one whose connection is being negotiated, a send that
 * names a destination, a socket that has an association, or one of a DNS client. What a rule routes to a server but
 * cannot go there is refused here, so that it is sent nowhere else. A send with MSG_FASTOPEN is a connect(). */
#include "io.h"
#include "association.h"
#include "association_query.h"
#include "blocking.h"
#include "connect.h"
#include "dns_client.h"
#include "dns_client_recv.h"
#include "in_engine.h"
#include "incoming.h"
#include "names.h"
#include "outgoing.h"
#include "packet_option.h"
#include "rcvlowat_option.h"
#include "resolve.h"
#include "result.h"
#include "route.h"
#include "target.h"
#include "tcp_connect.h"
#include "user_memory.h"
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

/* Further forms of SCTP's connect() (linux/sctp.h). */
#define SCTP_CONNECTX_OLD 107
#define SCTP_CONNECTX     110
#define SCTP_CONNECTX3    111

/* Options by which the kernel changes datagrams without regard to their headers (linux/udp.h). */
#define UDP_CORK    1
#define UDP_SEGMENT 103
#define UDP_GRO     104

#define MESSAGES_MOST 1024 /* the kernel's limit for one call */

/* Of a raw socket, too. */
static int get_protocol(struct s5_engine *e, int fd)
{
    int protocol = 0;
    socklen_t len = sizeof protocol;
    return e->real->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 ? protocol : -errno;
}

/* AS_IT_IS: directly, as decided. UNDECIDED: to what is no address of the Internet; the kernel decides. STREAM: on a
 * stream, where the kernel ignores the address. It is removed, since another thread may replace the socket. */
enum send_route { AS_IT_IS, UNDECIDED, STREAM, FAST_OPEN, RELAYED };

/* Where a send goes, if not to its address. */
struct way {
    struct s5_association *a;  /* when RELAYED */
    struct s5_endpoint direct; /* the address of a fake address's name, when AS_IT_IS; len 0: none */
};

static int route_udp_send(struct s5_engine *e, int fd, int family, struct s5_addr *to, struct way *ret)
{
    const struct s5_server *server;
    bool named;
    int r = s5_target_route(e, to, &server, &named);
    if (r > 0 && s5_route_socket(e, fd) != IPPROTO_UDP)
        return s5_route_direct_only(e, to, 0, S5_CMD_CONNECT, "anything but TCP and UDP");
    if (r > 0) {
        r = s5_association_open(e, fd, r, server, to, NULL, &ret->a);
        return r < 0 ? r : RELAYED;
    }
    if (r == 0 && named)
        r = s5_resolve_direct(e, to, family, &ret->direct);
    return r < 0 ? r : AS_IT_IS;
}

/* Returns how a send on FD to ADDR goes: enum send_route, or -errno. */
static int route_send(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len, int flags,
                      struct way *ret)
{
    struct s5_addr to;
    ret->direct.len = 0;
    if (!addr || s5_route_is_local(addr->sa_family))
        return AS_IT_IS;
    if (s5_in_engine)
        return UNDECIDED;
    if (!s5_target_address(addr, len, &to)) /* too short, which the kernel refuses, or of another family */
        return addr->sa_family == AF_INET || addr->sa_family == AF_INET6 || len < sizeof(struct sockaddr_in)
                   ? AS_IT_IS
                   : UNDECIDED;
    int protocol = get_protocol(e, fd);
    if (protocol != IPPROTO_UDP || !to.port) /* more calls, for what is rare */
        protocol = s5_route_socket(e, fd);
    if (protocol < 0)
        return protocol;
    uint8_t kind = s5_route_protocol(protocol);
    if (kind == S5_PROTO_TCP)
        return flags & MSG_FASTOPEN ? FAST_OPEN : STREAM;
    if (protocol == IPPROTO_UDP && to.port)
        return route_udp_send(e, fd, addr->sa_family, &to, ret);
    int named = s5_names_of(e, &to);
    if (named < 0)
        return named;
    return s5_route_direct_only(e, &to, kind, kind == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT,
                                "anything but TCP and UDP");
}

/* Calls connect() first. Then MSG is an ordinary send on the connected socket. */
static ssize_t send_fast_open(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    struct msghdr plain = *msg;
    if (((const struct sockaddr *)msg->msg_name)->sa_family == AF_UNSPEC)
        return -EOPNOTSUPP; /* as the kernel returns: it is no way to disconnect */
    int r = s5_connect(e, fd, msg->msg_name, msg->msg_namelen);
    if (r < 0 && r != -EISCONN)
        return r;
    plain.msg_name = NULL;
    plain.msg_namelen = 0;
    ssize_t asked = s5_dns_client_send(e, fd, &plain, flags);
    if (asked != S5_RESULT_NO_DNS_CLIENT)
        return asked;
    ssize_t n = e->real->keyed_sendmsg(fd, &plain, flags & ~MSG_FASTOPEN);
    return n < 0 ? -errno : n;
}

/* --- sending --- */

/* A call on FD fails with ERROR, or with the error that the kernel finds before it reads a message. */
static __attribute__((noinline, cold)) int fail_send(struct s5_engine *e, int fd, int flags, int error)
{
    return e->real->keyed_sendmsg(fd, S5_USER_NOWHERE, flags) < 0 && errno != EFAULT ? -errno : error;
}

static ssize_t send_relayed(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *m, int flags)
{
    int r = s5_user_parts(m);
    return r < 0 ? r : s5_outgoing_send(e, a, fd, m, flags);
}

/* M and its name are copies of the program's. Buffers and control messages are the program's own. */
static ssize_t send_copied(struct s5_engine *e, int fd, struct msghdr *m, int flags)
{
    struct s5_association *a = s5_association_of(e, fd);
    struct way way = {NULL, {.len = 0}};
    ssize_t sent = S5_RESULT_NO_ASSOCIATION;
    if (a)
        sent = send_relayed(e, a, fd, m, flags);
    if (sent != S5_RESULT_NO_ASSOCIATION)
        return sent;
    sent = s5_dns_client_send(e, fd, m, flags);
    if (sent != S5_RESULT_NO_DNS_CLIENT)
        return sent;
    int r = s5_tcp_await(e, fd, flags, POLLOUT);
    if (r == 0)
        r = s5_packet_option_check_message(e, fd, m);
    if (r == 0)
        r = route_send(e, fd, m->msg_name, m->msg_namelen, flags, &way);
    if (r < 0)
        return r;
    if (r == FAST_OPEN)
        return send_fast_open(e, fd, m, flags);
    if (r == RELAYED)
        return send_relayed(e, way.a, fd, m, flags);
    if (r == STREAM || way.direct.len) {
        m->msg_name = r == STREAM ? NULL : &way.direct.any;
        m->msg_namelen = way.direct.len;
    }
    sent = r == UNDECIDED ? e->real->sendmsg(fd, m, flags) : e->real->keyed_sendmsg(fd, m, flags);
    return sent < 0 ? -errno : sent;
}

ssize_t s5_sendmsg(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    struct sockaddr_storage to;
    struct msghdr m;
    s5_cleanup_look_here();
    int r = s5_user_message(&m, &to, msg);
    return r < 0 ? fail_send(e, fd, flags, r) : send_copied(e, fd, &m, flags);
}

ssize_t s5_sendto(struct s5_engine *e, int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                  socklen_t len)
{
    struct sockaddr_storage to;
    struct iovec iov = {(void *)(uintptr_t)buf, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int r = 0;
    s5_cleanup_look_here();
    if (__builtin_expect(addr && !len, 0)) { /* not the same as a message without a name */
        r = s5_tcp_await(e, fd, flags, POLLOUT);
        ssize_t sent = r < 0 ? r : e->real->sendto(fd, buf, n, flags, addr, len);
        return sent < 0 && r == 0 ? -errno : sent;
    }
    if (addr) {
        m.msg_name = &to;
        m.msg_namelen = len;
        r = s5_user_address(&to, addr, len);
    }
    return r < 0 ? fail_send(e, fd, flags, r) : send_copied(e, fd, &m, flags);
}

ssize_t s5_send(struct s5_engine *e, int fd, const void *buf, size_t n, int flags)
{
    return s5_sendto(e, fd, buf, n, flags, NULL, 0);
}

/* A write is a send only on a datagram socket. On others the kernel distinguishes the two. */
ssize_t s5_write(struct s5_engine *e, int fd, const void *buf, size_t n)
{
    if (s5_association_of(e, fd) || s5_dns_client_is(e, fd)) {
        ssize_t sent = s5_sendto(e, fd, buf, n, 0, NULL, 0);
        if (sent != -ENOTSOCK)
            return sent;
    }
    int r = s5_tcp_await(e, fd, 0, POLLOUT);
    ssize_t sent = r < 0 ? r : e->real->write(fd, buf, n);
    return sent < 0 && r == 0 ? -errno : sent;
}

ssize_t s5_writev(struct s5_engine *e, int fd, const struct iovec *iov, int n)
{
    if (n >= 0 && (s5_association_of(e, fd) || s5_dns_client_is(e, fd))) {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
        ssize_t sent = s5_sendmsg(e, fd, &msg, 0);
        if (sent != -ENOTSOCK)
            return sent;
    }
    int r = s5_tcp_await(e, fd, 0, POLLOUT);
    ssize_t sent = r < 0 ? r : e->real->writev(fd, iov, n);
    return sent < 0 && r == 0 ? -errno : sent;
}

/* Programs expect EINVAL from descriptors that do not support sendfile(), and read and write instead. */
ssize_t s5_sendfile(struct s5_engine *e, int fd, int in, off_t *at, size_t n)
{
    if (s5_association_of(e, fd))
        return -EINVAL;
    int r = s5_tcp_await(e, fd, 0, POLLOUT);
    ssize_t sent = r < 0 ? r : e->real->sendfile(fd, in, at, n);
    return sent < 0 && r == 0 ? -errno : sent;
}

/* --- sendmmsg() --- */

#define COPIES 8 /* messages of one real call: programs have small stacks */

struct copies {
    struct mmsghdr msgs[COPIES];
    struct sockaddr_storage names[COPIES];
};

/* Copies MSG as message AT of C. Returns how it goes: enum send_route, or -errno. */
static int copy_message(struct s5_engine *e, int fd, struct copies *c, unsigned at, const struct mmsghdr *msg,
                        int flags, struct way *way)
{
    struct msghdr *m = &c->msgs[at].msg_hdr;
    int r = s5_user_message(m, &c->names[at], &msg->msg_hdr);
    if (r == 0)
        r = s5_packet_option_check_message(e, fd, m);
    if (r == 0)
        r = route_send(e, fd, m->msg_name, m->msg_namelen, flags, way);
    if (r == STREAM) {
        m->msg_name = NULL;
        m->msg_namelen = 0;
        return AS_IT_IS;
    }
    /* Sent one by one, they can go there. */
    return r == AS_IT_IS && way->direct.len ? -EHOSTUNREACH : r;
}

static int send_one_message(struct s5_engine *e, int fd, struct mmsghdr *at, int flags)
{
    ssize_t sent = s5_sendmsg(e, fd, &at->msg_hdr, flags);
    unsigned len = (unsigned)sent;
    if (sent >= 0 && !s5_user_write(&at->msg_len, &len, sizeof len))
        return -EFAULT;
    return sent < 0 ? (int)sent : 1;
}

/* Sends as many of MSGS as fit into one real call and go as they are. Returns their number, or -errno. *RET_ROUTE: why
 * the next message is not among them; AS_IT_IS: it is not known. */
static __attribute__((noinline)) int send_some(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags,
                                               struct way *way, int *ret_route)
{
    struct copies c;
    unsigned ready = 0;
    int r = AS_IT_IS;
    while (ready < n && ready < COPIES && (r = copy_message(e, fd, &c, ready, &msgs[ready], flags, way)) == AS_IT_IS)
        ready++;
    *ret_route = r;
    if (ready == 0 || r == RELAYED) /* the association sends the direct ones before it, too */
        return 0;
    int sent = e->real->keyed_sendmmsg(fd, c.msgs, ready, flags);
    if (sent < 0)
        return -errno;
    if ((unsigned)sent < ready)
        *ret_route = AS_IT_IS;
    for (int i = 0; i < sent; i++)
        if (!s5_user_write(&msgs[i].msg_len, &c.msgs[i].msg_len, sizeof msgs[i].msg_len))
            return i ? i : -EFAULT;
    return sent;
}

/* The first of MSGS is not sent as it is, by ROUTE. */
static int send_otherwise(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags, int route,
                          const struct way *way)
{
    if (route == RELAYED)
        return s5_outgoing_sendmmsg(e, way->a, fd, msgs, n, flags);
    return route < 0 ? fail_send(e, fd, flags, route) : send_one_message(e, fd, msgs, flags);
}

static int send_messages(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    struct way way = {NULL, {.len = 0}};
    unsigned done = 0;
    int route = AS_IT_IS, r = 1;
    while (r > 0 && route == AS_IT_IS && done < n) {
        r = send_some(e, fd, msgs + done, n - done, flags, &way, &route);
        done += r > 0 ? (unsigned)r : 0;
        if (r > 0 && r < COPIES)
            break;
    }
    if (done || r < 0)
        return done ? (int)done : r;
    return n ? send_otherwise(e, fd, msgs, n, flags, route, &way) : e->real->keyed_sendmmsg(fd, NULL, 0, flags);
}

int s5_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    s5_cleanup_look_here();
    struct s5_association *a = s5_association_of(e, fd);
    int sent = a ? s5_outgoing_sendmmsg(e, a, fd, msgs, n, flags) : S5_RESULT_NO_ASSOCIATION;
    if (sent != S5_RESULT_NO_ASSOCIATION)
        return sent;
    sent = s5_dns_client_sendmmsg(e, fd, msgs, n, flags);
    if (sent != S5_RESULT_NO_DNS_CLIENT)
        return sent == -EFAULT ? fail_send(e, fd, flags, sent) : sent;
    int r = s5_tcp_await(e, fd, flags, POLLOUT);
    return r < 0 ? r : send_messages(e, fd, msgs, n < MESSAGES_MOST ? n : MESSAGES_MOST, flags);
}

/* --- receiving --- */

/* Writes what the kernel writes of a received message, from M into the program's MSG. NAME has SPACE octets. */
static bool write_message_header(struct msghdr *msg, const struct msghdr *m, const struct sockaddr_storage *from,
                                 void *name, socklen_t space)
{
    return (!name || s5_user_tell(from, m->msg_namelen, name, space, &msg->msg_namelen)) &&
           s5_user_write(&msg->msg_controllen, &m->msg_controllen, sizeof m->msg_controllen) &&
           s5_user_write(&msg->msg_flags, &m->msg_flags, sizeof m->msg_flags);
}

static ssize_t receive_message(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg, int flags)
{
    struct sockaddr_storage from;
    struct msghdr m;
    if (!s5_user_read(&m, msg, sizeof m))
        return -EFAULT;
    void *name = m.msg_name;
    if (name && (int)m.msg_namelen < 0)
        return -EINVAL;
    if (m.msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    if (!s5_user_may(m.msg_iov, m.msg_iovlen * sizeof *m.msg_iov, S5_USER_READ))
        return -EFAULT;
    socklen_t space = m.msg_namelen < sizeof from ? m.msg_namelen : sizeof from;
    m.msg_name = name ? &from : NULL;
    m.msg_namelen = space;
    ssize_t n = s5_incoming_receive(e, a, fd, &m, flags);
    return n >= 0 && !write_message_header(msg, &m, &from, name, space) ? -EFAULT : n;
}

ssize_t s5_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags)
{
    struct s5_association *a = s5_association_of(e, fd);
    ssize_t n = a ? receive_message(e, a, fd, msg, flags) : S5_RESULT_NO_ASSOCIATION;
    if (n != S5_RESULT_NO_ASSOCIATION)
        return n;
    if (s5_dns_client_is(e, fd))
        return s5_dns_client_recvmsg(e, fd, msg, flags);
    int r = s5_tcp_await(e, fd, flags, POLLIN);
    if (r < 0)
        return r;
    n = e->real->recvmsg(fd, msg, flags);
    return n < 0 ? -errno : n;
}

static ssize_t receive_from(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg, int flags,
                            struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage from;
    socklen_t space = 0;
    if (addr && !s5_user_read(&space, len, sizeof space))
        return -EFAULT;
    if ((int)space < 0)
        return -EINVAL;
    msg->msg_name = addr ? &from : NULL;
    msg->msg_namelen = sizeof from;
    ssize_t got = s5_incoming_receive(e, a, fd, msg, flags);
    return got >= 0 && addr && !s5_user_tell(&from, msg->msg_namelen, addr, space, len) ? -EFAULT : got;
}

ssize_t s5_recvfrom(struct s5_engine *e, int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len)
{
    struct s5_association *a = s5_association_of(e, fd);
    if (a) {
        struct iovec iov = {buf, n};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t got = receive_from(e, a, fd, &msg, flags, addr, len);
        if (got != S5_RESULT_NO_ASSOCIATION)
            return got;
    }
    if (s5_dns_client_is(e, fd))
        return s5_dns_client_recvfrom(e, fd, buf, n, flags, addr, len);
    int r = s5_tcp_await(e, fd, flags, POLLIN);
    ssize_t got = r < 0 ? r : e->real->recvfrom(fd, buf, n, flags, addr, len);
    return got < 0 && r == 0 ? -errno : got;
}

/* A read of 0 octets receives no datagram, as in the kernel. */
ssize_t s5_read(struct s5_engine *e, int fd, void *buf, size_t n)
{
    if (n && s5_association_of(e, fd)) {
        ssize_t got = s5_recvfrom(e, fd, buf, n, 0, NULL, NULL);
        if (got != -ENOTSOCK)
            return got;
    }
    int r = n ? s5_tcp_await(e, fd, 0, POLLIN) : 0;
    ssize_t got = r < 0 ? r : e->real->read(fd, buf, n);
    return got < 0 && r == 0 ? -errno : got;
}

ssize_t s5_readv(struct s5_engine *e, int fd, const struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n > 0 ? (size_t)n : 0};
    if (n > 0 && s5_association_of(e, fd)) {
        ssize_t got = s5_recvmsg(e, fd, &msg, 0);
        if (got != -ENOTSOCK)
            return got;
    }
    int r = s5_tcp_await(e, fd, 0, POLLIN);
    ssize_t got = r < 0 ? r : e->real->readv(fd, iov, n);
    return got < 0 && r == 0 ? -errno : got;
}

/* Returns how many of N messages, from the first on, have valid memory for all that is stored beside a datagram's
 * octets. */
static unsigned count_writable_messages(struct mmsghdr *msgs, unsigned n)
{
    unsigned at = 0;
    for (n = n < MESSAGES_MOST ? n : MESSAGES_MOST; at < n; at++) {
        struct msghdr *m = &msgs[at].msg_hdr;
        if (!s5_user_may(&msgs[at], sizeof msgs[at], S5_USER_READ) ||
            !s5_user_may(&msgs[at].msg_len, sizeof msgs[at].msg_len, S5_USER_WRITE) ||
            !s5_user_may(&m->msg_flags, sizeof m->msg_flags, S5_USER_WRITE) || m->msg_iovlen > IOV_MAX ||
            !s5_user_may(m->msg_iov, m->msg_iovlen * sizeof *m->msg_iov, S5_USER_READ) ||
            (m->msg_name && ((int)m->msg_namelen < 0 ||
                             !s5_user_may(m->msg_name, m->msg_namelen < 128 ? m->msg_namelen : 128, S5_USER_WRITE))))
            break;
    }
    return at;
}

int s5_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
    struct s5_association *a = s5_association_of(e, fd);
    unsigned whole = a ? count_writable_messages(msgs, n) : 0;
    if (a && n && !whole)
        return s5_user_may(msgs, sizeof *msgs, S5_USER_READ) && msgs->msg_hdr.msg_iovlen > IOV_MAX ? -EMSGSIZE
                                                                                                   : -EFAULT;
    int got = a ? s5_incoming_recvmmsg(e, a, fd, msgs, whole, flags, timeout) : S5_RESULT_NO_ASSOCIATION;
    if (got != S5_RESULT_NO_ASSOCIATION)
        return got;
    if (s5_dns_client_is(e, fd))
        return s5_dns_client_recvmmsg(e, fd, msgs, n, flags, timeout);
    int r = s5_tcp_await(e, fd, flags, POLLIN);
    if (r < 0)
        return r;
    got = e->real->recvmmsg(fd, msgs, n, flags, timeout);
    return got < 0 ? -errno : got;
}

int s5_next_size(struct s5_engine *e, int fd)
{
    struct s5_association *a = s5_association_of(e, fd);
    return a ? s5_incoming_next(e, a, fd) : -ENOTTY;
}

/* --- options --- */

int s5_setsockopt(struct s5_engine *e, int fd, int level, int name, const void *value, socklen_t len)
{
    if (level == IPPROTO_SCTP && !s5_in_engine &&
        (name == SCTP_CONNECTX || name == SCTP_CONNECTX_OLD || name == SCTP_CONNECTX3)) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: SCTP cannot go through a SOCKS5 server");
        return -EOPNOTSUPP;
    }
    /* The error of a kernel that lacks them. UDP_CORK is allowed on a socket without an association, which gets none
     * then. */
    if (level == IPPROTO_UDP && !s5_in_engine &&
        (name == UDP_SEGMENT || name == UDP_GRO || (name == UDP_CORK && s5_association_of(e, fd))))
        return -ENOPROTOOPT;
    if (level == SOL_SOCKET && name == SO_RCVLOWAT && !s5_in_engine)
        return s5_rcvlowat_set(e, fd, value, len);
    int r = level == IPPROTO_IP || level == IPPROTO_IPV6 ? s5_packet_option_check(e, fd, level, name, value, len) : 0;
    if (r < 0)
        return r;
    return e->real->setsockopt(fd, level, name, value, len) == 0 ? 0 : -errno;
}
