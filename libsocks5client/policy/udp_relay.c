/* Datagrams go to the relay directly, and a server may name any address as its relay. The server's own address is
 * always right. Any other address must pass the rules as a destination of UDP. An address that has a meaning on this
 * machine or this link only is refused, unless the server is there too. */
#include "udp_relay.h"
#include "format.h"
#include <errno.h>
#include <string.h>

static bool is_same_host(const struct s5_addr *a, uint8_t kind, const uint8_t *octets)
{
    return a->kind == kind && memcmp(a->octets, octets, kind == S5_ADDR_IPV4 ? 4 : 16) == 0;
}

static bool is_link_local(const struct s5_addr *a)
{
    static const uint8_t v4[] = {169, 254}, v6[] = {0xfe, 0x80};
    return a->kind == S5_ADDR_IPV4 ? memcmp(a->octets, v4, 2) == 0
                                   : a->octets[0] == v6[0] && (a->octets[1] & 0xc0) == v6[1];
}

static bool is_server(const struct s5_server *server, const struct s5_addr *here, const struct s5_addr *relay)
{
    bool same = is_same_host(relay, here->kind, here->octets);
    for (unsigned i = 0; server && !same && i < server->n_addrs; i++)
        same = is_same_host(relay, server->addrs[i].kind, server->addrs[i].octets);
    return same;
}

static bool is_fake(const struct s5_policy *p, const struct s5_addr *a)
{
    const struct s5_fake_range *range = a->kind == S5_ADDR_IPV4 ? &p->fake_ipv4 : &p->fake_ipv6;
    return s5_addr_same_prefix(a->octets, range->octets, range->prefix);
}

/* Returns why nothing is sent to RELAY, whatever the rules are, or NULL. */
static const char *find_odd_kind(const struct s5_policy *p, const struct s5_addr *here, const struct s5_addr *relay)
{
    if (s5_addr_is_multicast(relay))
        return "a multicast or broadcast address";
    if (s5_addr_is_loopback(relay) && !s5_addr_is_loopback(here))
        return "a loopback address, and the server is not on this machine";
    if (is_link_local(relay) && !(here->kind == relay->kind && is_link_local(here)))
        return "a link-local address";
    return p && is_fake(p, relay) ? "a fake address" : NULL;
}

int s5_udp_relay_choose(const struct s5_policy *p, const struct s5_server *server, const struct s5_addr *here,
                        struct s5_addr *relay, char why[S5_UDP_RELAY_WHY])
{
    uint16_t port = relay->port;
    if (port == 0) {
        s5_format(why, S5_UDP_RELAY_WHY, "it has no port");
        return -EPROTO;
    }
    if (s5_addr_says_nothing(relay) || (server && server->relay_at_server)) {
        *relay = *here;
        relay->port = port;
    }
    if (is_server(server, here, relay)) {
        relay->scope = is_same_host(relay, here->kind, here->octets) ? here->scope : 0;
        return 0;
    }
    const char *odd = find_odd_kind(p, here, relay);
    struct s5_route route = {.verdict = S5_DIRECT};
    if (!odd && p)
        route = s5_policy_decide(p, &(struct s5_flow){relay, S5_PROTO_UDP, S5_CMD_UDP});
    if (!odd && route.verdict != S5_DENY)
        return 0;
    if (!odd && route.rule >= 0)
        s5_format(why, S5_UDP_RELAY_WHY, "rule \"%s\"", s5_policy_text(p, p->rules[route.rule].name));
    else
        s5_format(why, S5_UDP_RELAY_WHY, "%s", odd ? odd : "no rule matches");
    return -EACCES;
}
