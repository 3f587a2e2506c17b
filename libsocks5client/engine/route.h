/* The decision of the policy about a flow, with its log lines. */
#ifndef S5_ROUTE_H
#define S5_ROUTE_H

#include "engine.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* Decides a flow to TO, with PROTOCOL S5_PROTO_* and COMMAND S5_CMD_*. Returns 0: direct; 1: through *RET_SERVER;
 * 2 + N: through one of the servers of rule number N, which has several (see choice.h), *RET_SERVER is the first of
 * them; -errno: refused, logged. */
int s5_route(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
             const struct s5_server **ret_server);

/* Returns true if the result ROUTE of s5_route(), with SERVER, means that server number INDEX may be used. */
bool s5_route_has(int route, const struct s5_server *server, uint32_t index);

/* Returns the S5_PROTO_* of an IPPROTO_* number, or 0. */
uint8_t s5_route_protocol(int ipproto);

/* As s5_route_socket(), for a socket that is none of TCP. errno becomes SAVED. */
int s5_route_other_socket(struct s5_engine *e, int fd, int saved);
/* Returns the IPPROTO_* number of the socket FD, or -errno. That of a raw socket is IPPROTO_RAW: a raw socket of TCP
 * has the number of TCP, but sends packets. */
static inline int s5_route_socket(struct s5_engine *e, int fd)
{
    int size, saved = errno;
    socklen_t len = sizeof size;
    /* A raw socket has no such option: one call for most sockets. */
    if (__builtin_expect(e->real->getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &size, &len) == 0, 1))
        return IPPROTO_TCP;
    return s5_route_other_socket(e, fd, saved);
}

/* Returns true if addresses of FAMILY name nothing outside of this machine. */
static inline bool s5_route_is_local(int family)
{
    return family == AF_UNIX || family == AF_NETLINK;
}

/* Decides listening at AT (port 0: the kernel chooses the port). Result as of s5_route(). SILENT: without a log
 * line. */
int s5_route_listener(struct s5_engine *e, const struct s5_addr *at, bool silent, const struct s5_server **ret_server);

/* Stores in RET the first address of SERVER that a socket of FAMILY can reach. Returns 0, or -EAFNOSUPPORT, logged. */
int s5_route_address(struct s5_engine *e, const struct s5_server *server, int family, struct s5_endpoint *ret);

/* Decides a flow of a kind, WHAT, that cannot be proxied. Returns 0: it may go directly; else -errno, logged. */
int s5_route_direct_only(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
                         const char *what);

#endif
