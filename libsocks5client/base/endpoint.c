#include "endpoint.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

int s5_endpoint_of(const struct s5_addr *addr, int family, struct s5_endpoint *ret)
{
    struct sockaddr_storage sa;
    socklen_t len;
    if (s5_addr_to_sockaddr(addr, family, &sa, &len) < 0)
        return -EAFNOSUPPORT;
    ret->len = len;
    memcpy(&ret->any, &sa, len);
    return 0;
}

int s5_endpoint_tell(const struct s5_endpoint *what, struct sockaddr *addr, socklen_t *len)
{
    socklen_t room, whole = what->len <= sizeof what->v6 ? what->len : sizeof what->v6;
    if (!s5_user_read(&room, len, sizeof room))
        return -EFAULT;
    if ((int)room < 0)
        return -EINVAL;
    return s5_user_tell(&what->any, whole, addr, room, len) ? 0 : -EFAULT;
}
