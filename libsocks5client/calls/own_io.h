/* Further calls that read and write, on a socket that may have a record. They work as read() and write() do (io.h). */
#ifndef S5_OWN_IO_H
#define S5_OWN_IO_H

#include "engine.h"

ssize_t s5_splice(struct s5_engine *e, int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags);
ssize_t s5_preadv2(struct s5_engine *e, int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t s5_pwritev2(struct s5_engine *e, int fd, const struct iovec *iov, int n, off_t at, int flags);

/* To be called before libc itself reads (POLLIN) or writes (POLLOUT) FD: 0 or -errno. -EINVAL: the datagrams of the
 * socket have a header. EVENTS 0: waits for FD's own negotiation only. */
int s5_io_await(struct s5_engine *e, int fd, bool nonblock, short events);
/* Whether FD has an association or belongs to a DNS client. */
bool s5_io_is_relayed(struct s5_engine *e, int fd);

#endif
