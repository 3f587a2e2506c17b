/* Where the datagrams of an association go: every kind of address that a reply may name. */
#include "udp_relay.h"
#include "policy_script.h"
#include <errno.h>

static struct s5_policy *make_policy(const char *server, bool at_server)
{
    struct s5_policy *p = fresh();
    cr_assert_eq(s5_policy_add_server(p, "p"), 0);
    struct s5_addr a = addr_of(server, 0);
    p->servers[0].addrs[0].kind = a.kind;
    memcpy(p->servers[0].addrs[0].octets, a.octets, sizeof a.octets);
    p->servers[0].n_addrs = 1;
    p->servers[0].relay_at_server = at_server;
    return p;
}

static void add_rule(struct s5_policy *p, const char *to, enum s5_verdict verdict)
{
    struct s5_rule *rule = &p->rules[p->n_rules++];
    memset(rule, 0, sizeof *rule);
    rule->name = (uint32_t)s5_policy_add_text(p, "title", 5);
    rule->to_first = (uint16_t)p->n_matches;
    rule->verdict = (uint8_t)verdict;
    if (to) {
        cr_assert_geq(s5_policy_add_match(p, to, strlen(to)), 0);
        rule->to_count = 1;
    }
}

/* The server at HERE names the relay NAMED. Expects WANT as its host, or the refusal that begins with WHY. */
static void expect(const struct s5_policy *p, const char *here, const char *named, const char *want, const char *why)
{
    struct s5_addr at = addr_of(here, 1080), relay = addr_of(named, 4000), wanted = addr_of(want ? want : named, 4000);
    char text[S5_UDP_RELAY_WHY] = "";
    int r = s5_udp_relay_choose(p, p ? &p->servers[0] : NULL, &at, &relay, text);
    cr_expect_eq(r, want ? 0 : -EACCES, "%s: %d", named, r);
    cr_expect(s5_addr_equal(&relay, &wanted), "%s: another address", named);
    cr_expect_str_eq(text, why, "%s", named);
}

static void expect_odd(const struct s5_policy *p)
{
    expect(p, "192.0.2.1", "127.0.0.1", NULL, "a loopback address, and the server is not on this machine");
    expect(p, "192.0.2.1", "::1", NULL, "a loopback address, and the server is not on this machine");
    expect(p, "192.0.2.1", "::ffff:127.9.9.9", NULL, "a loopback address, and the server is not on this machine");
    expect(p, "192.0.2.1", "224.0.0.251", NULL, "a multicast or broadcast address");
    expect(p, "192.0.2.1", "ff02::fb", NULL, "a multicast or broadcast address");
    expect(p, "192.0.2.1", "255.255.255.255", NULL, "a multicast or broadcast address");
    expect(p, "192.0.2.1", "169.254.169.254", NULL, "a link-local address");
    expect(p, "192.0.2.1", "fe80::1", NULL, "a link-local address");
}

Test(relay, odd_addresses)
{
    struct s5_policy *p = make_policy("192.0.2.1", false);
    add_rule(p, NULL, S5_VIA);
    expect_odd(p);
    expect(p, "192.0.2.1", "198.18.0.9", NULL, "a fake address");
    expect(p, "192.0.2.1", "fdc4:8b1e:5053::9", NULL, "a fake address");
    expect_odd(NULL);
    free(p);
}

Test(relay, server_itself)
{
    struct s5_policy *p = make_policy("192.0.2.1", false);
    add_rule(p, NULL, S5_DENY); /* the rules do not decide about the server */
    expect(p, "192.0.2.1", "192.0.2.1", "192.0.2.1", "");
    expect(p, "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "");
    expect(p, "192.0.2.1", "0.0.0.0", "192.0.2.1", "");
    expect(p, "2001:db8::1", "::", "2001:db8::1", "");
    expect(p, "192.0.2.1", "relay.example", "192.0.2.1", "");
    expect(p, "2001:db8::1", "192.0.2.1", "192.0.2.1", ""); /* another address of the server */
    free(p);
}

Test(relay, server_on_loopback)
{
    struct s5_policy *p = make_policy("127.0.0.1", false);
    expect(p, "127.0.0.1", "127.0.0.1", "127.0.0.1", "");
    expect(p, "127.0.0.1", "127.0.0.2", "127.0.0.2", "");
    expect(p, "::1", "127.0.0.3", "127.0.0.3", "");
    add_rule(p, "127.0.0.2/32", S5_DENY);
    expect(p, "127.0.0.1", "127.0.0.2", NULL, "rule \"title\"");
    expect(p, "127.0.0.1", "224.0.0.1", NULL, "a multicast or broadcast address");
    free(p);
}

Test(relay, rules)
{
    struct s5_policy *p = make_policy("192.0.2.1", false);
    expect(p, "192.0.2.1", "192.0.2.2", NULL, "no rule matches");
    add_rule(p, "192.0.2.2", S5_DENY);
    add_rule(p, "192.0.2.3", S5_DIRECT);
    add_rule(p, NULL, S5_VIA);
    expect(p, "192.0.2.1", "192.0.2.2", NULL, "rule \"title\"");
    expect(p, "192.0.2.1", "::ffff:192.0.2.2", NULL, "rule \"title\"");
    expect(p, "192.0.2.1", "192.0.2.3", "192.0.2.3", "");
    expect(p, "192.0.2.1", "2001:db8::2", "2001:db8::2", "");
    expect(p, "169.254.1.1", "169.254.1.2", "169.254.1.2", ""); /* the server is on the same link */
    expect(NULL, "192.0.2.1", "192.0.2.2", "192.0.2.2", "");
    free(p);
}

Test(relay, always_at_the_server)
{
    struct s5_policy *p = make_policy("192.0.2.1", true);
    static const char *const named[] = {"127.0.0.1", "224.0.0.1", "255.255.255.255", "fe80::1", "192.0.2.2", "::", "a"};
    for (unsigned i = 0; i < COUNT(named); i++)
        expect(p, "192.0.2.7", named[i], "192.0.2.7", "");
    free(p);
}

Test(relay, port_zero)
{
    struct s5_addr here = addr_of("192.0.2.1", 1080), relay = addr_of("192.0.2.1", 0);
    char why[S5_UDP_RELAY_WHY];
    for (int at_server = 0; at_server < 2; at_server++) {
        struct s5_policy *p = make_policy("192.0.2.1", at_server);
        cr_expect_eq(s5_udp_relay_choose(p, &p->servers[0], &here, &relay, why), -EPROTO);
        cr_expect_str_eq(why, "it has no port");
        free(p);
    }
}
