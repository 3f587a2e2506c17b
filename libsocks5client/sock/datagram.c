/* Sends that name a destination: what a rule leads to a server but cannot go there is refused here,
 * so that it goes nowhere else. A send with MSG_FASTOPEN is a connect(). */
#include "engine.h"
#include "nameserver.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* SCTP's connect() by another name (linux/sctp.h). */
#define SCTP_CONNECTX_OLD 107
#define SCTP_CONNECTX     110
#define SCTP_CONNECTX3    111

/* The destination, where SA names one of the two families that leave the machine. An AF_UNSPEC
 * address is taken for IPv4 by the kernel's UDP, so it is here. */
static bool destination(const struct sockaddr *sa, socklen_t len, struct s5_addr *ret)
{
    struct sockaddr_storage whole;
    if (!sa || len < sizeof sa->sa_family || len > sizeof whole)
        return false;
    memset(&whole, 0, sizeof(struct sockaddr_in6));
    memcpy(&whole, sa, len);
    if (whole.ss_family == AF_UNSPEC)
        whole.ss_family = AF_INET;
    if (whole.ss_family == AF_INET6 && len >= 24 && len < sizeof(struct sockaddr_in6))
        len = sizeof(struct sockaddr_in6);
    return s5_addr_from_sockaddr(ret, (struct sockaddr *)&whole, len) == 0;
}

static int protocol_of(struct s5_engine *e, int fd)
{
    int protocol = 0;
    socklen_t len = sizeof protocol;
    return e->real->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 ? protocol
                                                                                  : -errno;
}

enum leave { AS_IT_IS, FAST_OPEN };

/* How a send on FD to ADDR may leave: enum leave, or -errno. */
static int leave(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len, int flags)
{
    struct s5_addr to;
    if (s5_engine_inside || !destination(addr, len, &to))
        return AS_IT_IS;
    int protocol = protocol_of(e, fd);
    if (protocol < 0)
        return protocol;
    uint8_t kind = s5_route_protocol(protocol);
    if (kind == S5_PROTO_TCP) /* the kernel ignores the address of any other send on a stream */
        return flags & MSG_FASTOPEN ? FAST_OPEN : AS_IT_IS;
    int named = s5_names_of(e, &to);
    if (named < 0)
        return named;
    return s5_route_direct_only(e, &to, kind, kind == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT,
                                "anything but TCP");
}

/* connect() first; then MSG is an ordinary send on the connected socket. */
static ssize_t fast_open(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    struct msghdr plain = *msg;
    int r = s5_connect(e, fd, msg->msg_name, msg->msg_namelen);
    if (r < 0 && r != -EISCONN)
        return r;
    plain.msg_name = NULL;
    plain.msg_namelen = 0;
    ssize_t asked = s5_nameserver_send(e, fd, &plain, flags);
    if (asked != -ENOTCONN)
        return asked;
    ssize_t n = e->real->sendmsg(fd, &plain, flags & ~MSG_FASTOPEN);
    return n < 0 ? -errno : n;
}

ssize_t s5_sendto(struct s5_engine *e, int fd, const void *buf, size_t n, int flags,
                  const struct sockaddr *addr, socklen_t len)
{
    ssize_t asked = s5_nameserver_sendto(e, fd, buf, n, flags, addr, len);
    if (asked != -ENOTCONN)
        return asked;
    int r = s5_connect_await(e, fd, flags & MSG_DONTWAIT);
    if (r == 0)
        r = leave(e, fd, addr, len, flags);
    if (r < 0)
        return r;
    if (r == FAST_OPEN) {
        struct iovec iov = {(void *)(uintptr_t)buf, n};
        struct msghdr msg = {.msg_name = (void *)(uintptr_t)addr,
                             .msg_namelen = len,
                             .msg_iov = &iov,
                             .msg_iovlen = 1};
        return fast_open(e, fd, &msg, flags);
    }
    ssize_t sent = e->real->sendto(fd, buf, n, flags, addr, len);
    return sent < 0 ? -errno : sent;
}

ssize_t s5_sendmsg(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    ssize_t asked = msg ? s5_nameserver_send(e, fd, msg, flags) : -ENOTCONN;
    if (asked != -ENOTCONN)
        return asked;
    int r = s5_connect_await(e, fd, flags & MSG_DONTWAIT);
    if (r == 0 && msg)
        r = leave(e, fd, msg->msg_name, msg->msg_namelen, flags);
    if (r < 0)
        return r;
    if (r == FAST_OPEN)
        return fast_open(e, fd, msg, flags);
    ssize_t sent = e->real->sendmsg(fd, msg, flags);
    return sent < 0 ? -errno : sent;
}

int s5_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    int r = s5_nameserver_sendmmsg(e, fd, msgs, n, flags);
    if (r != -ENOTCONN)
        return r;
    r = s5_connect_await(e, fd, flags & MSG_DONTWAIT);
    unsigned may = 0;
    for (; r == 0 && may < n; may++) {
        r = leave(e, fd, msgs[may].msg_hdr.msg_name, msgs[may].msg_hdr.msg_namelen, flags);
        if (r != AS_IT_IS)
            break;
    }
    if (may == 0 && r == FAST_OPEN) {
        ssize_t sent = fast_open(e, fd, &msgs[0].msg_hdr, flags);
        if (sent < 0)
            return (int)sent;
        msgs[0].msg_len = (unsigned)sent;
        return 1;
    }
    if (may == 0 && r < 0)
        return r;
    int sent = e->real->sendmmsg(fd, msgs, n ? may : 0, flags);
    return sent < 0 ? -errno : sent;
}

int s5_setsockopt(struct s5_engine *e, int fd, int level, int name, const void *value,
                  socklen_t len)
{
    if (level == IPPROTO_SCTP && !s5_engine_inside &&
        (name == SCTP_CONNECTX || name == SCTP_CONNECTX_OLD || name == SCTP_CONNECTX3)) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: SCTP cannot go through a SOCKS5 server");
        return -EOPNOTSUPP;
    }
    return e->real->setsockopt(fd, level, name, value, len) == 0 ? 0 : -errno;
}
