/* One BIND request, with its first and second reply. */
#ifndef S5_BIND_REQUEST_H
#define S5_BIND_REQUEST_H

#include "cleanup.h"
#include "engine.h"

/* For further requests, made in flight (bind/next_bind.h): returns an unconnected socket for the server's address that
 * took L's last request, or -errno. */
int s5_bind_request_socket(struct s5_engine *e, const struct s5_listener *l);

/* Returns true if P has the rule of L. A policy of another generation has other rules under the same numbers. */
bool s5_bind_request_has_rule(const struct s5_policy *p, const struct s5_listener *l);

/* Returns the time (s) that the rule of L has for all its servers together; 0: it limits nothing. */
unsigned s5_bind_request_limit(const struct s5_engine *e, const struct s5_listener *l);

/* Begins F with L's last request, or with the peer that this process expects by now. The rule limits its time. 0 or
 * -errno. */
int s5_bind_request_repeat(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                           const struct s5_listener *l);

/* F is over, on FD. READY: it becomes L's negotiation, which continues to the second reply, and *RET is the address. 0
 * or -errno, logged. */
int s5_bind_request_bound(struct s5_engine *e, struct s5_listener *l, const struct s5_negotiation *f, int fd,
                          bool ready, struct s5_endpoint *ret);

/* Makes a BIND for L. Returns the control connection; L's negotiation has the first reply, and *RET is the address from
 * it. -errno: refused, or the server was not reached; logged at LEVEL. *RET_DOWN: it was not reached, or has refused
 * the user. UNTIL (ns): it fails then, or at the end of the server's timeout. CALL, of TICKET: from
 * s5_listener_begin_call(). */
int s5_bind_request(struct s5_engine *e, struct s5_listener *l, const struct s5_server *server, uint64_t until,
                    enum s5_log_level level, struct s5_cleanup *call, uint32_t ticket, struct s5_endpoint *ret,
                    bool *ret_down);

/* Reads what has arrived of the second reply. 0: *RET is the peer, of L's family; -EAGAIN: incomplete; otherwise its
 * error. */
int s5_bind_request_accepted(struct s5_engine *e, struct s5_listener *l, int control, struct s5_endpoint *ret);

#endif
