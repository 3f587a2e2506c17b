/* Queries of a program on a datagram socket with an association. The results are those of a socket without a relay. */
#include "association_query.h"
#include "association.h"
#include "fd_record.h"
#include "kind.h"
#include "target.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* FD's association. NULL: FD was closed and reused where no hook saw it; its record is forgotten. */
static struct s5_association *get_association(struct s5_engine *e, int fd)
{
    return s5_fd_forget_stale(e, fd) ? NULL : s5_association_of(e, fd);
}

/* An unconnected socket has the address that it was bound to, and the kernel's port. */
int s5_association_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len)
{
    const struct s5_association *a = get_association(e, fd);
    (void)record;
    struct s5_endpoint own = a ? a->local : (struct s5_endpoint){.len = 0}, kernel;
    socklen_t size = sizeof kernel.v6;
    if (!own.len || a->peer.len || a->mixed)
        return S5_KERNEL_KNOWS;
    if (e->real->getsockname(fd, &kernel.any, &size) != 0)
        return -errno;
    if (own.any.sa_family == AF_INET)
        own.v4.sin_port = kernel.v4.sin_port;
    else
        own.v6.sin6_port = kernel.v6.sin6_port;
    return s5_endpoint_tell(&own, addr, len);
}

int s5_association_getpeername(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr,
                               socklen_t *len)
{
    const struct s5_association *a = get_association(e, fd);
    (void)record;
    if (!a || (a->mixed && !a->peer.len))
        return S5_KERNEL_KNOWS;
    if (!a->peer.len)
        return -ENOTCONN;
    return s5_endpoint_tell(&a->peer, addr, len);
}

/* Octets of the header of datagrams to A's peer; without a peer, of the header expected next. */
static int get_header_len(struct s5_engine *e, struct s5_association *a)
{
    struct s5_heading heading;
    if (a->peer.len && s5_target_heading(e, a, &a->peer.any, a->peer.len, &heading) == 0)
        return heading.len;
    return atomic_load(&a->expect);
}

/* The application's MTU is that of the path, less the header. */
int s5_association_getsockopt(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                              socklen_t *len)
{
    struct s5_association *a = s5_association_of(e, fd);
    (void)record;
    if (!a)
        return S5_KERNEL_KNOWS;
    if (e->real->getsockopt(fd, level, name, value, len) != 0)
        return -errno;
    bool mtu = (level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU);
    int octets;
    if (mtu && *len == sizeof octets) {
        memcpy(&octets, value, sizeof octets);
        octets -= get_header_len(e, a);
        memcpy(value, &octets, sizeof octets);
    }
    return 0;
}

/* --- FIONREAD --- */

int s5_incoming_next(struct s5_engine *e, struct s5_association *a, int fd)
{
    uint8_t octets[S5_UDP_HEADER_MAX];
    struct s5_udp_header d;
    for (;;) {
        struct s5_endpoint from;
        socklen_t len = sizeof from.v6;
        ssize_t n = e->real->recvfrom(fd, octets, sizeof octets, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT, &from.any, &len);
        if (n < 0)
            return errno == EAGAIN || errno == ECONNREFUSED ? 0 : -errno;
        size_t held = (size_t)n < sizeof octets ? (size_t)n : sizeof octets;
        struct s5_endpoint relay = s5_association_relay(a);
        if (a->mixed && !s5_target_same_end(&from, &relay))
            return (int)n;
        if (s5_udp_header_read(octets, held, &d) == 0)
            return (int)n - d.header_len;
        e->real->recv(fd, octets, 0, MSG_DONTWAIT);
    }
}
