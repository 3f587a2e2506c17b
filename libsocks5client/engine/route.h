/* What the policy decides about a flow, with its log lines. */
#ifndef S5_ROUTE_H
#define S5_ROUTE_H

#include "engine.h"

/* --- route.c: what the policy says of a flow, with its log lines --- */
/* 0: direct; > 0: via *RET_SERVER; -errno: refused. */
int s5_route(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
             const struct s5_server **ret_server);

/* The protocol of S5_PROTO_* an IPPROTO_* number belongs to. */
uint8_t s5_route_protocol(int ipproto);

/* Listening at AT (port 0: one that the kernel chooses). As s5_route; QUIET: without a log line. */
int s5_route_listener(struct s5_engine *e, const struct s5_addr *at, bool quiet, const struct s5_server **ret_server);

/* The address of SERVER that a socket of FAMILY can reach. 0, or -EAFNOSUPPORT, logged. */
int s5_route_address(struct s5_engine *e, const struct s5_server *server, int family, struct s5_endpoint *ret);

/* A flow of a kind that cannot be proxied: 0 where it may leave directly, else -errno, logged. */
int s5_route_direct_only(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
                         const char *what);

#endif
