/* Receives replies for DNS clients. The data is not changed. The source of a reply is the socket itself; it is
 * replaced by the DNS server that was queried. */
#include "dns_client_recv.h"
#include "dns_client.h"
#include "in_engine.h"
#include "record.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

static bool is_self(const struct s5_dns_client *a, const struct sockaddr *from)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
    if (from->sa_family != a->self.any.sa_family)
        return false;
    if (from->sa_family == AF_INET)
        return v4->sin_port == a->self.v4.sin_port && v4->sin_addr.s_addr == a->self.v4.sin_addr.s_addr;
    return v6->sin6_port == a->self.v6.sin6_port && memcmp(&v6->sin6_addr, &a->self.v6.sin6_addr, 16) == 0;
}

/* Returns the DNS server of the query that DATA, N octets, is the reply to. */
static struct s5_endpoint find_queried_server(struct s5_dns_client *a, const struct s5_record *record,
                                              const uint8_t *data, size_t n)
{
    struct s5_endpoint found = record->peer;
    if (atomic_load(&a->kind) != S5_DNS_CLIENT_UNCONNECTED || n < 2)
        return found;
    uint16_t id = (uint16_t)(data[0] << 8 | data[1]);
    struct s5_critical critical;
    if (!s5_lock_take(&a->lock, &critical))
        return found;
    for (unsigned i = 1; i <= S5_DNS_CLIENT_QUESTIONS; i++) {
        unsigned at = (a->at + S5_DNS_CLIENT_QUESTIONS - i) % S5_DNS_CLIENT_QUESTIONS;
        if (a->asked[at].server.len && (i == 1 || a->asked[at].id == id))
            found = a->asked[at].server;
        if (a->asked[at].id == id)
            break;
    }
    s5_lock_give(&a->lock, &critical);
    return found;
}

/* Replaces the source FROM of a reply, if it is the socket itself. SIZE is the size of FROM; *LEN is set. */
static void replace_source(struct s5_engine *e, int fd, const void *data, size_t n, struct sockaddr *from,
                           socklen_t size, socklen_t *len)
{
    struct s5_record *record;
    struct sockaddr_storage whole = {0};
    struct s5_dns_client *a = s5_in_engine ? NULL : s5_dns_client_of(e, fd, &record);
    if (!a || !from || !len || size < sizeof(struct sockaddr_in))
        return;
    memcpy(&whole, from, size < sizeof whole ? size : sizeof whole);
    if (!is_self(a, (struct sockaddr *)&whole))
        return;
    struct s5_endpoint server = find_queried_server(a, record, data, n);
    if (server.len == 0)
        return;
    memcpy(from, &server.any, size < server.len ? size : server.len);
    *len = server.len;
}

ssize_t s5_dns_client_recvfrom(struct s5_engine *e, int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                               socklen_t *len)
{
    socklen_t size = 0;
    if (addr)
        s5_user_read(&size, len, sizeof size); /* the kernel reports a wrong pointer */
    ssize_t got = e->real->recvfrom(fd, buf, n, flags, addr, len);
    if (got < 0)
        return -errno;
    replace_source(e, fd, buf, (size_t)got < n ? (size_t)got : n, addr, size, len);
    return got;
}

/* The same for a message MSG of N octets, whose source has SIZE octets. */
static void replace_message_source(struct s5_engine *e, int fd, struct msghdr *msg, size_t n, socklen_t size)
{
    const struct iovec *first = msg->msg_iovlen ? msg->msg_iov : NULL;
    size_t len = first ? first->iov_len : 0;
    replace_source(e, fd, first ? first->iov_base : NULL, len < n ? len : n, msg->msg_name, size, &msg->msg_namelen);
}

ssize_t s5_dns_client_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags)
{
    socklen_t size = 0;
    s5_user_read(&size, &msg->msg_namelen, sizeof size);
    ssize_t got = e->real->recvmsg(fd, msg, flags);
    if (got < 0)
        return -errno;
    replace_message_source(e, fd, msg, (size_t)got, size);
    return got;
}

int s5_dns_client_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags,
                           struct timespec *timeout)
{
    socklen_t sizes[64];
    n = n < 64 ? n : 64; /* recvmmsg() may return fewer messages than requested */
    for (unsigned i = 0; i < n; i++)
        if (!s5_user_read(&sizes[i], &msgs[i].msg_hdr.msg_namelen, sizeof sizes[i]))
            sizes[i] = 0;
    int got = e->real->recvmmsg(fd, msgs, n, flags, timeout);
    for (int i = 0; i < got; i++)
        replace_message_source(e, fd, &msgs[i].msg_hdr, msgs[i].msg_len, sizes[i]);
    return got < 0 ? -errno : got;
}
