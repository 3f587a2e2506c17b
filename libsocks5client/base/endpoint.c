/* Conversion of an address to a socket address, and its copy into the program's memory. */
#include "endpoint.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

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
