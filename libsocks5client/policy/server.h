/* The addresses of a server. */
#ifndef S5_SERVER_H
#define S5_SERVER_H

#include "policy.h"

struct addrinfo;

/* Copies the addresses of LIST to SERVER, as many as it has space for. Returns their number. */
struct addrinfo;
unsigned s5_server_keep(struct s5_server *server, const struct addrinfo *list);

#endif
