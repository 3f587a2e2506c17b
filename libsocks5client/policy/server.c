/* The addresses of a server whose name was resolved. */
#include "server.h"
#include "policy.h"
#include <netdb.h>
#include <string.h>

unsigned s5_server_keep(struct s5_server *server, const struct addrinfo *list)
{
    unsigned n = 0;
    for (const struct addrinfo *ai = list; ai && n < S5_SERVER_ADDRS; ai = ai->ai_next) {
        struct s5_addr addr;
        if (s5_addr_from_sockaddr(&addr, ai->ai_addr, ai->ai_addrlen) < 0)
            continue;
        server->addrs[n].kind = addr.kind;
        memcpy(server->addrs[n++].octets, addr.octets, sizeof addr.octets);
    }
    server->n_addrs = (uint8_t)n;
    return n;
}
