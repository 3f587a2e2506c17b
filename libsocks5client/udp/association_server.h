/* The UDP ASSOCIATE request to a server. */
#ifndef S5_ASSOCIATION_SERVER_H
#define S5_ASSOCIATION_SERVER_H

#include "cleanup.h"
#include "engine.h"

/* --- association_server.c --- */
/* Requests an association at SERVER for a socket of FAMILY, with the relay in *RET_RELAY. Takes TIMEOUT ns at most.
 * Returns a connected descriptor, not internal yet, or -errno, logged at LEVEL; -EOPNOTSUPP at once for 10 s after the
 * server refused UDP. *RET_DOWN: the server was not reached, or has refused the user. CALL notes what is held
 * meanwhile, and the descriptor. -ECONNABORTED: CALL's entry, of TICKET, was released. */
int s5_association_request(struct s5_engine *e, const struct s5_server *server, int family, uint64_t timeout,
                           enum s5_log_level level, struct s5_cleanup *call, uint32_t ticket,
                           struct s5_endpoint *ret_relay, bool *ret_down);

#endif
