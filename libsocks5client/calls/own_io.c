/* The kernel cannot put a header in front of a datagram that it moves by itself. Programs expect EINVAL from
 * descriptors that cannot be spliced, and read and write instead. */
#include "own_io.h"
#include "association.h"
#include "complete.h"
#include "dns_client.h"
#include "io.h"
#include "tcp_connect.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

bool s5_io_is_relayed(struct s5_engine *e, int fd)
{
    return s5_association_of(e, fd) || s5_dns_client_is(e, fd);
}

int s5_io_await(struct s5_engine *e, int fd, bool nonblock, short events)
{
    if (s5_io_is_relayed(e, fd))
        return -EINVAL;
    bool at_once = nonblock || (!events && !s5_complete_find(e, fd));
    return s5_tcp_await(e, fd, at_once ? MSG_DONTWAIT : 0, events);
}

ssize_t s5_splice(struct s5_engine *e, int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags)
{
    int r = s5_io_await(e, out, flags & SPLICE_F_NONBLOCK, POLLOUT);
    if (r == 0)
        r = s5_io_await(e, in, flags & SPLICE_F_NONBLOCK, POLLIN);
    ssize_t moved = r < 0 ? r : e->real->splice(in, in_at, out, out_at, n, flags);
    return moved < 0 && r == 0 ? -errno : moved;
}

ssize_t s5_preadv2(struct s5_engine *e, int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    bool relayed = s5_io_is_relayed(e, fd);
    if (relayed && at == -1 && flags == 0)
        return s5_readv(e, fd, iov, n);
    int r = at == -1 ? s5_io_await(e, fd, flags & RWF_NOWAIT, POLLIN) : 0;
    if (r == -EINVAL && relayed)
        r = -EOPNOTSUPP; /* as the kernel does for flags */
    ssize_t got = r < 0 ? r : e->real->preadv2(fd, iov, n, at, flags);
    return got < 0 && r == 0 ? -errno : got;
}

ssize_t s5_pwritev2(struct s5_engine *e, int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    bool relayed = s5_io_is_relayed(e, fd);
    if (relayed && at == -1 && flags == 0)
        return s5_writev(e, fd, iov, n);
    int r = at == -1 ? s5_io_await(e, fd, flags & RWF_NOWAIT, POLLOUT) : 0;
    if (r == -EINVAL && relayed)
        r = -EOPNOTSUPP;
    ssize_t sent = r < 0 ? r : e->real->pwritev2(fd, iov, n, at, flags);
    return sent < 0 && r == 0 ? -errno : sent;
}
