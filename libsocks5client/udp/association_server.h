/* UDP ASSOCIATE: the request to the server. */
#ifndef S5_ASSOCIATION_SERVER_H
#define S5_ASSOCIATION_SERVER_H

#include "cleanup.h"
#include "engine.h"

/* --- associate_server.c --- */
/* The negotiation: *RET_RELAY for a socket of FAMILY. A connected descriptor (not hidden yet), or
 * -errno. PATIENCE: ns it may take at the most. What is held meanwhile, and the descriptor, are noted in CALL;
 * -ECONNABORTED where the entry, of TICKET, was given back. */
int s5_association_ask(struct s5_engine *e, const struct s5_server *server, int family, uint64_t timeout,
                       struct s5_cleanup *call, uint32_t ticket, struct s5_endpoint *ret_relay);

#endif
