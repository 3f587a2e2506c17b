/* Conversion of an address to a socket address, and its copy into the program's memory. */
#include "endpoint.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

bool s5_endpoint_is_same(const struct s5_endpoint *a, const struct s5_endpoint *b)
{
    if (a->any.sa_family != b->any.sa_family || a->v4.sin_port != b->v4.sin_port) /* at the same offset in both */
        return false;
    return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
                                       : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

bool s5_endpoint_is_unspecified(const struct s5_endpoint *at)
{
    return at->any.sa_family == AF_INET ? at->v4.sin_addr.s_addr == htonl(INADDR_ANY)
                                        : IN6_IS_ADDR_UNSPECIFIED(&at->v6.sin6_addr);
}

void s5_endpoint_from_octets(struct s5_endpoint *ret, int family, const void *address, uint16_t port)
{
    memset(ret, 0, sizeof *ret);
    if (family == AF_INET) {
        ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        memcpy(&ret->v4.sin_addr, address, 4);
        ret->len = sizeof ret->v4;
    } else {
        ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        memcpy(&ret->v6.sin6_addr, address, 16);
        ret->len = sizeof ret->v6;
    }
}

struct s5_endpoint s5_endpoint_loopback(int family, uint16_t port)
{
    const struct in_addr four = {htonl(INADDR_LOOPBACK)};
    struct s5_endpoint at;
    s5_endpoint_from_octets(&at, family, family == AF_INET ? (const void *)&four : &in6addr_loopback, htons(port));
    return at;
}

int s5_endpoint_of(const struct s5_addr *addr, int family, struct s5_endpoint *ret)
{
    struct sockaddr_storage sa;
    socklen_t len;
    if (addr->kind == S5_ADDR_IPV4 && family == AF_INET) { /* short, for each datagram */
        ret->len = sizeof ret->v4;
        ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&ret->v4.sin_addr, addr->octets, 4);
        return 0;
    }
    if (s5_addr_to_sockaddr(addr, family, &sa, &len) < 0)
        return -EAFNOSUPPORT;
    ret->len = len;
    memcpy(&ret->any, &sa, len);
    return 0;
}

int s5_endpoint_tell(const struct s5_endpoint *what, struct sockaddr *addr, socklen_t *len)
{
    socklen_t capacity, whole = what->len <= sizeof what->v6 ? what->len : sizeof what->v6;
    if (!s5_user_read(&capacity, len, sizeof capacity))
        return -EFAULT;
    if ((int)capacity < 0)
        return -EINVAL;
    return s5_user_tell(&what->any, whole, addr, capacity, len) ? 0 : -EFAULT;
}
