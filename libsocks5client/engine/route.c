/* Converts the decision of the policy about a flow into an errno and a log line. A refusal is one line: what was
 * refused, and which rule decided. */
#include "route.h"
#include "engine.h"
#include "last_peer.h"
#include "log_events.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

uint8_t s5_route_protocol(int ipproto)
{
    switch (ipproto) {
    case IPPROTO_TCP:
    case 262: /* IPPROTO_MPTCP: falls back to TCP with any proxy server */
        return S5_PROTO_TCP;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        return S5_PROTO_UDP;
    default:
        return 0;
    }
}

__attribute__((noinline, cold)) int s5_route_other_socket(struct s5_engine *e, int fd, int saved)
{
    int protocol = 0, type = 0;
    socklen_t len = sizeof protocol;
    int r = e->real->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
    if (r == 0 && s5_route_protocol(protocol))
        r = e->real->getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    r = r < 0 ? -errno : type == SOCK_RAW ? IPPROTO_RAW : protocol;
    errno = saved;
    return r;
}

static const char *get_protocol_text(uint8_t protocol, uint8_t command)
{
    if (command == S5_CMD_BIND)
        return "listen on";
    return protocol == S5_PROTO_TCP ? "TCP to" : protocol == S5_PROTO_UDP ? "UDP to" : "traffic to";
}

static int log_refusal(struct s5_engine *e, const struct s5_policy *p, const struct s5_flow *flow,
                       const struct s5_route *route)
{
    char to[S5_ADDR_TEXT_MAX];
    s5_log_events_denied(e);
    s5_addr_format(flow->to, to, sizeof to);
    if (route->rule >= 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused: %s %s (rule \"%s\")", get_protocol_text(flow->protocol, flow->command),
               to, s5_policy_text(p, p->rules[route->rule].name));
    else
        s5_log(&e->log, S5_LOG_ERROR, "refused: %s %s (no rule matches)",
               get_protocol_text(flow->protocol, flow->command), to);
    return -EACCES;
}

/* Returns the result of s5_route() for ROUTE, which leads to a server. */
static inline int get_result(const struct s5_policy *p, const struct s5_route *route)
{
    return route->rule >= 0 && p->rules[route->rule].via_count > 1 ? route->rule + 2 : 1;
}

static int decide_flow(struct s5_engine *e, const struct s5_flow *flow, const struct s5_server **ret)
{
    const struct s5_policy *p = s5_engine_policy(e);
    if (!p)
        return atomic_load(&e->refusal);
    struct s5_route route = s5_policy_decide(p, flow);
    if (route.verdict == S5_DENY)
        return log_refusal(e, p, flow, &route);
    if (route.verdict == S5_DIRECT) {
        if (e->noted && flow->protocol == S5_PROTO_TCP && flow->command == S5_CMD_CONNECT)
            s5_log_events_direct(e, flow, &route);
        return 0;
    }
    *ret = &p->servers[route.server];
    return get_result(p, &route);
}

int s5_route(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
             const struct s5_server **ret_server)
{
    struct s5_flow flow = {to, protocol, command};
    return decide_flow(e, &flow, ret_server);
}

bool s5_route_has(int route, const struct s5_server *server, uint32_t index)
{
    const struct s5_policy *p = s5_server_policy(server);
    if (route == 1)
        return server->index == index;
    const struct s5_rule *rule = &p->rules[route - 2];
    return index < S5_POLICY_SERVERS && memchr(p->vias + rule->via_first, (int)index, rule->via_count);
}

int s5_route_listener(struct s5_engine *e, const struct s5_addr *at, bool silent, const struct s5_server **ret_server)
{
    struct s5_flow flow = {at, S5_PROTO_TCP, S5_CMD_BIND};
    const struct s5_policy *p = silent ? s5_engine_load(e) : s5_engine_policy(e);
    if (!p)
        return atomic_load(&e->refusal);
    struct s5_route route = s5_policy_listen(p, at, s5_last_peer_server(atomic_load(&e->shm)));
    if (route.verdict == S5_DENY)
        return silent ? -EACCES : log_refusal(e, p, &flow, &route);
    if (route.verdict == S5_DIRECT)
        return 0;
    *ret_server = &p->servers[route.server];
    return get_result(p, &route);
}

int s5_route_direct_only(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
                         const char *what)
{
    struct s5_flow flow = {to, protocol, command};
    const struct s5_server *server = NULL;
    int r = decide_flow(e, &flow, &server);
    if (r <= 0)
        return r;
    char text[S5_ADDR_TEXT_MAX];
    s5_log(&e->log, S5_LOG_ERROR, "refused: %s %s: %s through server \"%s\" is not supported",
           get_protocol_text(protocol, command), s5_addr_format(to, text, sizeof text), what, s5_server_name(server));
    return -EOPNOTSUPP;
}

/* Stores IP and PORT in RET, in the form of a socket of FAMILY: IPv4 as a v4-mapped address for an IPv6 socket. Returns
 * false if a socket of FAMILY cannot reach IP. */
static bool make_endpoint(const struct s5_ip *ip, uint16_t port, int family, struct s5_endpoint *ret)
{
    if (family == AF_INET) {
        ret->len = sizeof ret->v4;
        ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&ret->v4.sin_addr, ip->octets, sizeof ret->v4.sin_addr);
        return ip->kind == S5_ADDR_IPV4;
    }
    ret->len = sizeof ret->v6;
    ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    uint8_t *octets = ret->v6.sin6_addr.s6_addr;
    if (ip->kind == S5_ADDR_IPV6) {
        memcpy(octets, ip->octets, 16);
    } else {
        octets[10] = octets[11] = 0xff;
        memcpy(octets + 12, ip->octets, 4);
    }
    return true;
}

int s5_route_address(struct s5_engine *e, const struct s5_server *server, int family, struct s5_endpoint *ret)
{
    for (unsigned i = 0; i < server->n_addrs; i++)
        if (make_endpoint(&server->addrs[i], server->port, family, ret))
            return 0;
    s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" has no address that an %s socket can reach",
           s5_server_name(server), family == AF_INET ? "IPv4" : "IPv6");
    return -EAFNOSUPPORT;
}
