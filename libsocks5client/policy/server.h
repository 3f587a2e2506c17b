/* What an entry of a server leads to: its policy, its name, its addresses. */
#ifndef S5_SERVER_H
#define S5_SERVER_H

#include "policy.h"
#include <stddef.h>

/* Returns the policy that SERVER is an entry of. A process may have several policies, of different generations (see
 * reload/reload.h). The index of a server is the same in all of them, but texts are not. */
static inline const struct s5_policy *s5_server_policy(const struct s5_server *server)
{
    const char *first = (const char *)(server - server->index);
    return (const struct s5_policy *)(first - offsetof(struct s5_policy, servers));
}

static inline const char *s5_server_name(const struct s5_server *server)
{
    return s5_policy_text(s5_server_policy(server), server->name);
}

/* Copies the addresses of LIST to SERVER, as many as it has space for. Returns their number. */
struct addrinfo;
unsigned s5_server_keep(struct s5_server *server, const struct addrinfo *list);

#endif
