/* Messages of a netlink socket. */
#ifndef TOOLS_MESSAGE_H
#define TOOLS_MESSAGE_H

#include <libmnl/libmnl.h>
#include <stdbool.h>

/* Returns true if the message M is complete in the LEFT octets at M. libmnl alone takes a length of 2 GiB for a
 * negative one. */
static inline bool message_is_complete(const struct nlmsghdr *m, int left)
{
    return mnl_nlmsg_ok(m, left) && m->nlmsg_len <= (uint32_t)left;
}

#endif
