/* Several buffers of the program's as one sequence of octets. The list itself can be read; the buffers may be
 * invalid. */
#ifndef S5_SCATTER_H
#define S5_SCATTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The octets of the N buffers IOV. */
size_t s5_scatter_size(const struct iovec *iov, size_t n);
/* Copies the first SIZE octets, or as many as there are, to BUF. Their number. */
size_t s5_scatter_gather(const struct iovec *iov, size_t n, void *buf, size_t size);
/* Copies LEN octets of BUF to the position AT, as far as they fit. Their number. */
size_t s5_scatter_put(const struct iovec *iov, size_t n, size_t at, const void *buf, size_t len);
/* Moves LEN octets from the position FROM to the position TO. Both ranges are within the buffers, and may overlap. */
void s5_scatter_move(const struct iovec *iov, size_t n, size_t to, size_t from, size_t len);

/* Copies the datagram that FROM received to TO, whose own was dropped; with NAMED, its source too. */
void s5_scatter_move_over(struct mmsghdr *to, const struct mmsghdr *from, bool named);

#endif
