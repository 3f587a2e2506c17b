/* The ports of the namespace's sockets (sock_diag(7)). */
#ifndef TOOLS_PORTS_H
#define TOOLS_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct ports {
    uint8_t bits[65536 / 8];
};

/* Whether PORT is missing now and was before: the kernel may skip sockets in a list while others begin and end. MISSED
 * keeps what was. */
static inline bool ports_miss(const struct ports *p, uint16_t port, bool *missed)
{
    bool before = *missed;
    *missed = !(p->bits[port / 8] & 1u << port % 8);
    return before && *missed;
}

/* Stores in RET the local ports of all sockets of PROTOCOL but listeners. FD is a netlink socket without other
 * messages. Returns 0, or -errno. */
int ports_list(int fd, int protocol, struct ports *ret);

#endif
