#include "outside.h"
#include "hosts.h"
#include "real.h"
#include <string.h>

bool s5_outside_knows(const struct s5_addr *addr)
{
    return s5_gate_open() && s5_fence() == S5_FENCE_WATCHED && !s5_addr_is_loopback(addr) &&
           !s5_hosts_has_address(addr);
}

int s5_outside_name(struct s5_addr *addr, int flags)
{
    struct s5_companion_name found;
    uint16_t port = addr->port;
    int r = s5_companion_request_name(addr->octets, addr->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6, flags, &found);
    if (r != 0)
        return r;
    return s5_addr_parse(addr, found.name, strlen(found.name), port) == 0 && addr->kind == S5_ADDR_NAME ? 0
                                                                                                       : EAI_NONAME;
}
