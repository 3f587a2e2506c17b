/* Connections, in flight and made, as a kind of socket. */
#ifndef S5_STREAM_H
#define S5_STREAM_H

#include "engine.h"

/* FD, the socket of COOKIE, is a connection to PEER. LOCAL: what getsockname() tells; len 0: what the kernel does. */
void s5_stream_import(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_endpoint *peer,
                      const struct s5_endpoint *local);
/* FD's negotiation is in flight in another process of the tree: it is this process's, too. False: it is not. */
bool s5_stream_join(struct s5_engine *e, int fd, uint64_t cookie);

struct s5_kind;
extern const struct s5_kind s5_exported_kind, s5_stream_kind; /* those that an exec hands over; all of them */

#endif
