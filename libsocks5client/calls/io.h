/* Octets of the application on a socket that may have a record: one whose connection is being negotiated, a send that
 * names a destination, a socket that has an association. See io.c. The results are those of the libc calls, or -errno.
 */
#ifndef S5_IO_H
#define S5_IO_H

#include "engine.h"

ssize_t s5_read(struct s5_engine *e, int fd, void *buf, size_t n);
ssize_t s5_readv(struct s5_engine *e, int fd, const struct iovec *iov, int n);
S5_HOT ssize_t s5_recvfrom(struct s5_engine *e, int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                           socklen_t *len);
ssize_t s5_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags);
int s5_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);
ssize_t s5_write(struct s5_engine *e, int fd, const void *buf, size_t n);
ssize_t s5_writev(struct s5_engine *e, int fd, const struct iovec *iov, int n);
ssize_t s5_send(struct s5_engine *e, int fd, const void *buf, size_t n, int flags);
ssize_t s5_sendfile(struct s5_engine *e, int fd, int in, off_t *at, size_t n);
/* FIONREAD of a relayed socket; -ENOTTY: it is not relayed, and the kernel has the answer. */
int s5_next_size(struct s5_engine *e, int fd);
ssize_t s5_sendto(struct s5_engine *e, int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                  socklen_t len);
S5_HOT ssize_t s5_sendmsg(struct s5_engine *e, int fd, const struct msghdr *msg, int flags);
int s5_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags);

/* --- options --- */
int s5_setsockopt(struct s5_engine *e, int fd, int level, int name, const void *value, socklen_t len);

#endif
