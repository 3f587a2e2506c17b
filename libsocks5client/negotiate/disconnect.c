/* connect(AF_UNSPEC) also releases an address and port that the kernel chose, whether for a bind() or for the
 * connection. A program that bound its socket may already have sent the port to a peer. */
#include "disconnect.h"
#include <errno.h>
#include <netinet/in.h>

void s5_disconnect_own_address(struct s5_engine *e, int fd, struct s5_endpoint *ret)
{
    ret->len = sizeof ret->v6;
    if (e->real->getsockname(fd, &ret->any, &ret->len) != 0 || ret->len > sizeof ret->v6)
        ret->len = 0;
}

int s5_disconnect_keeping_port(struct s5_engine *e, int fd)
{
    struct s5_endpoint before, after;
    s5_disconnect_own_address(e, fd, &before);
    int r = s5_engine_real_disconnect(e, fd);
    if (r < 0)
        return r;
    s5_disconnect_own_address(e, fd, &after);
    if (!before.len || !after.len)
        return 0;
    /* getsockname() still reports the old port of a stream, but the socket does not have it any more. */
    s5_endpoint_set_port(&after.any, s5_endpoint_port(&before.any));
    if (e->real->bind(fd, &after.any, after.len) == 0 || errno == EINVAL)
        return 0; /* EINVAL: the program chose the port, so the socket still has it */
    return -errno;
}

int s5_disconnect_accept_mapped(struct s5_engine *e, int fd)
{
    struct s5_endpoint own;
    int only = 0, off = 0, saved = errno;
    socklen_t len = sizeof only;
    if (e->real->getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) != 0 || !only ||
        e->real->setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) {
        errno = saved;
        return 0;
    }
    s5_disconnect_own_address(e, fd, &own);
    int r = own.len ? s5_engine_real_disconnect(e, fd) : -errno;
    if (r == 0 && e->real->setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
        e->real->bind(fd, &own.any, own.len) != 0)
        r = -errno;
    errno = saved;
    return r;
}
