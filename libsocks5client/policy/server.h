/* The addresses of a server. */
#ifndef S5_SERVER_H
#define S5_SERVER_H

#include "policy.h"

struct addrinfo;

/* LIST's addresses become SERVER's, as many as it has room for: their number. (server.c) */
struct addrinfo;
unsigned s5_server_keep(struct s5_server *server, const struct addrinfo *list);

#endif
