/* Octets spread over several buffers of the program's, taken as one row. The list itself is readable; a
 * buffer may be anything. */
#ifndef S5_SCATTER_H
#define S5_SCATTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

size_t s5_scatter_size(const struct iovec *iov, size_t n);
/* The first SIZE octets, or as many as there are, into BUF; their number. */
size_t s5_scatter_gather(const struct iovec *iov, size_t n, void *buf, size_t size);
/* LEN octets of BUF to the place AT, as far as there is room; their number. */
size_t s5_scatter_put(const struct iovec *iov, size_t n, size_t at, const void *buf, size_t len);
/* LEN octets from the place FROM to the place TO; both ranges are inside. They may overlap. */
void s5_scatter_move(const struct iovec *iov, size_t n, size_t to, size_t from, size_t len);

/* The datagram that FROM received, into TO, whose own was dropped; NAMED: and where it came from. */
void s5_scatter_move_over(struct mmsghdr *to, const struct mmsghdr *from, bool named);

#endif
