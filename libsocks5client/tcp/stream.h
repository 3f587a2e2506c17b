/* Connections, in flight and established, as a kind of socket. */
#ifndef S5_STREAM_H
#define S5_STREAM_H

#include "engine.h"

/* Imports FD, the socket of COOKIE, as a connection to PEER. LOCAL: what getsockname() reports; len 0: the kernel's
 * answer. */
void s5_stream_import(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_endpoint *peer,
                      const struct s5_endpoint *local);
/* Imports the negotiation of FD, which another process has in flight. False: there is none. */
bool s5_stream_join(struct s5_engine *e, int fd, uint64_t cookie);

struct s5_kind;
extern const struct s5_kind s5_exported_kind,
    s5_stream_kind; /* the connections that an exec passes on; all connections */

#endif
