/* One BIND request, to its first reply and to its second. */
#ifndef S5_BIND_REQUEST_H
#define S5_BIND_REQUEST_H

#include "cleanup.h"
#include "engine.h"

/* One after another, made in flight (bind/next_bind.h): an unconnected socket for the server's address that took
 * L's last request, or -errno. */
int s5_bind_request_socket(struct s5_engine *e, const struct s5_listener *l);

/* F begins with L's last request, or with whom this process expects by now. 0 or -errno. */
int s5_bind_request_repeat(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                           const struct s5_listener *l);

/* F is over, on FD. READY: L's flight goes on with it to the second reply, and *RET is the address. 0, or
 * -errno, logged. */
int s5_bind_request_bound(struct s5_engine *e, struct s5_listener *l, const struct s5_negotiation *f, int fd,
                          bool ready, struct s5_endpoint *ret);

/* The control connection, where L's flight has the first reply and *RET the address it tells.
 * -errno: refused, or no server reached; logged. */
int s5_bind_request(struct s5_engine *e, struct s5_listener *l, const struct s5_server *server, struct s5_cleanup *call,
                    uint32_t ticket, struct s5_endpoint *ret);

/* The second reply, as far as it is there: 0 (and *RET, of FAMILY), -EAGAIN, or what it says. */
int s5_bind_request_accepted(struct s5_engine *e, struct s5_listener *l, int control, struct s5_endpoint *ret);

#endif
