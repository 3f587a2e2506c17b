/* Decisions: order, destinations, ports, protocols, commands, loopback, listeners; and the texts of rules. These
 * tests write a rule as one line of words. */
#include "policy_script.h"
#include <errno.h>

/* LINE is "to=10.0.0.0/8,::1 ports=80,1-9 protocol=tcp command=bind via=0|direct|deny". Any part but via may be
 * omitted. */
static void add_rule(struct s5_policy *p, const char *line)
{
    char copy[512], *part_at, *value_at;
    struct s5_rule *rule = &p->rules[p->n_rules];
    cr_assert(strlen(line) < sizeof copy);
    strcpy(copy, line);
    memset(rule, 0, sizeof *rule);
    rule->to_first = (uint16_t)p->n_matches;
    rule->ports_first = (uint16_t)p->n_ports;
    for (char *part = strtok_r(copy, " ", &part_at); part; part = strtok_r(NULL, " ", &part_at)) {
        char *key = strtok_r(part, "=", &value_at);
        for (char *v; (v = strtok_r(NULL, ",", &value_at));) {
            if (strcmp(key, "to") == 0) {
                cr_assert_geq(s5_policy_add_match(p, v, strlen(v)), 0, "%s", v);
                rule->to_count++;
            } else if (strcmp(key, "ports") == 0) {
                cr_assert_geq(s5_policy_add_ports(p, v), 0, "%s", v);
                rule->ports_count++;
            } else if (strcmp(key, "protocol") == 0)
                rule->protocols |= strcmp(v, "tcp") == 0 ? S5_PROTO_TCP : S5_PROTO_UDP;
            else if (strcmp(key, "command") == 0)
                rule->commands |= v[0] == 'c'   ? S5_CMD_CONNECT
                                  : v[0] == 'b' ? S5_CMD_BIND
                                                : S5_CMD_UDP;
            else {
                bool direct = strcmp(v, "direct") == 0, deny = strcmp(v, "deny") == 0;
                rule->verdict = direct ? S5_DIRECT : S5_DENY;
                if (!direct && !deny)
                    cr_assert_geq(s5_policy_add_via(p, p->n_rules, (unsigned)atoi(v)), 0);
            }
        }
    }
    p->n_rules++;
}

static struct s5_policy *make_policy(const char *const *rules)
{
    struct s5_policy *p = fresh();
    cr_assert_eq(s5_policy_add_server(p, "first"), 0);
    cr_assert_eq(s5_policy_add_server(p, "second"), 1);
    for (; *rules; rules++)
        add_rule(p, *rules);
    return p;
}

#define RULES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- whether one rule covers one flow --- */

struct cover {
    const char *rule, *to;
    uint16_t port;
    bool covered;
};

static void expect_covers(const struct cover *cases, size_t n, uint8_t protocol, uint8_t command)
{
    for (size_t i = 0; i < n; i++) {
        struct s5_policy *p = make_policy(RULES(cases[i].rule));
        struct s5_route r = decide_for(p, cases[i].to, cases[i].port, protocol, command);
        cr_expect_eq(r.rule == 0, cases[i].covered, "\"%s\" and %s:%u", cases[i].rule, cases[i].to,
                     cases[i].port);
        cr_expect_eq(r.why == S5_WHY_RULE, cases[i].covered);
        free(p);
    }
}

Test(policy, destinations)
{
    static const struct cover cases[] = {
        {"via=0", "192.0.2.1", 80, true},
        {"via=0", "2001:db8::1", 80, true},
        {"via=0", "example.org", 80, true},
        {"to=* via=0", "192.0.2.1", 80, true},
        {"to=* via=0", "2001:db8::1", 80, true},
        {"to=* via=0", "example.org", 80, true},
        {"to=192.0.2.1 via=0", "192.0.2.1", 80, true},
        {"to=192.0.2.1 via=0", "192.0.2.2", 80, false},
        {"to=192.0.2.1 via=0", "::ffff:192.0.2.1", 80, true},
        {"to=::ffff:192.0.2.1 via=0", "192.0.2.1", 80, true},
        {"to=10.0.0.0/8 via=0", "10.255.255.255", 80, true},
        {"to=10.0.0.0/8 via=0", "11.0.0.0", 80, false},
        {"to=::ffff:10.0.0.0/104 via=0", "10.1.2.3", 80, true},
        {"to=::ffff:10.0.0.0/104 via=0", "11.1.2.3", 80, false},
        {"to=::ffff:0:0/96 via=0", "192.0.2.1", 80, true},
        {"to=::ffff:0:0/96 via=0", "2001:db8::1", 80, false},
        {"to=10.0.0.0/8 via=0", "9.255.255.255", 80, false},
        {"to=10.128.0.0/9 via=0", "10.128.0.0", 80, true},
        {"to=10.128.0.0/9 via=0", "10.127.255.255", 80, false},
        {"to=192.0.2.254/31 via=0", "192.0.2.255", 80, true},
        {"to=192.0.2.254/31 via=0", "192.0.2.253", 80, false},
        {"to=192.0.2.1/32 via=0", "192.0.2.1", 80, true},
        {"to=0.0.0.0/0 via=0", "192.0.2.1", 80, true},
        {"to=0.0.0.0/0 via=0", "2001:db8::1", 80, false},
        {"to=0.0.0.0/0 via=0", "example.org", 80, false},
        {"to=::/0 via=0", "2001:db8::1", 80, true},
        {"to=::/0 via=0", "192.0.2.1", 80, false},
        {"to=2001:db8::/33 via=0", "2001:db8:7fff::1", 80, true},
        {"to=2001:db8::/33 via=0", "2001:db8:8000::1", 80, false},
        {"to=[2001:db8::1] via=0", "2001:db8::1", 80, true},
        {"to=example.org via=0", "example.org", 80, true},
        {"to=example.org via=0", "EXAMPLE.Org", 80, true},
        {"to=Example.ORG via=0", "example.org", 80, true},
        {"to=example.org via=0", "example.org.", 80, true},
        {"to=example.org. via=0", "example.org", 80, true},
        {"to=example.org via=0", "www.example.org", 80, false},
        {"to=example.org via=0", "example.or", 80, false},
        {"to=example.org via=0", "192.0.2.1", 80, false},
        {"to=.corp.example via=0", "corp.example", 80, true},
        {"to=.corp.example via=0", "a.b.corp.example", 80, true},
        {"to=.corp.example via=0", "A.CORP.EXAMPLE.", 80, true},
        {"to=.corp.example via=0", "xcorp.example", 80, false},
        {"to=.corp.example via=0", "corp.example.org", 80, false},
        {"to=.corp.example via=0", "example", 80, false},
        {"to=.corp.example via=0", "10.0.0.1", 80, false},
        {"to=10.0.0.0/8,example.org via=0", "example.org", 80, true},
        {"to=10.0.0.0/8,example.org via=0", "10.1.1.1", 80, true},
        {"to=10.0.0.0/8,example.org via=0", "192.0.2.1", 80, false},
    };
    expect_covers(cases, COUNT(cases), S5_PROTO_TCP, S5_CMD_CONNECT);
}

Test(policy, ports)
{
    static const struct cover cases[] = {
        {"ports=443 via=0", "192.0.2.1", 443, true},
        {"ports=443 via=0", "192.0.2.1", 442, false},
        {"ports=443 via=0", "192.0.2.1", 444, false},
        {"ports=1-1023 via=0", "192.0.2.1", 1, true},
        {"ports=1-1023 via=0", "192.0.2.1", 1023, true},
        {"ports=1-1023 via=0", "192.0.2.1", 1024, false},
        {"ports=1-65535 via=0", "192.0.2.1", 65535, true},
        {"ports=1-65535 via=0", "192.0.2.1", 0, false},
        {"via=0", "192.0.2.1", 0, true},
        {"ports=25,587,8000-8999 via=0", "example.org", 8500, true},
        {"ports=25,587,8000-8999 via=0", "example.org", 588, false},
        {"to=192.0.2.1 ports=25 via=0", "192.0.2.1", 25, true},
        {"to=192.0.2.1 ports=25 via=0", "192.0.2.2", 25, false},
        {"to=192.0.2.1 ports=25 via=0", "192.0.2.1", 26, false},
    };
    expect_covers(cases, COUNT(cases), S5_PROTO_TCP, S5_CMD_CONNECT);
}

Test(policy, protocols_and_commands)
{
    static const struct {
        const char *rule;
        uint8_t protocol, command;
        bool covered;
    } cases[] = {
        {"via=0", S5_PROTO_TCP, S5_CMD_CONNECT, true},
        {"via=0", S5_PROTO_UDP, S5_CMD_UDP, true},
        {"via=0", S5_PROTO_UDP, S5_CMD_CONNECT, true},
        {"via=0", S5_PROTO_TCP, S5_CMD_BIND, false},
        {"via=0", 0, S5_CMD_CONNECT, true},
        {"protocol=tcp via=0", S5_PROTO_TCP, S5_CMD_CONNECT, true},
        {"protocol=tcp via=0", S5_PROTO_UDP, S5_CMD_UDP, false},
        {"protocol=tcp via=0", 0, S5_CMD_CONNECT, false},
        {"protocol=udp via=0", S5_PROTO_UDP, S5_CMD_UDP, true},
        {"protocol=udp via=0", S5_PROTO_TCP, S5_CMD_CONNECT, false},
        {"protocol=tcp,udp via=0", S5_PROTO_UDP, S5_CMD_UDP, true},
        {"protocol=tcp,udp via=0", 0, S5_CMD_CONNECT, false},
        {"command=connect via=0", S5_PROTO_TCP, S5_CMD_CONNECT, true},
        {"command=connect via=0", S5_PROTO_UDP, S5_CMD_UDP, false},
        {"command=connect via=0", S5_PROTO_TCP, S5_CMD_BIND, false},
        {"command=udp via=0", S5_PROTO_UDP, S5_CMD_UDP, true},
        {"command=udp via=0", S5_PROTO_TCP, S5_CMD_CONNECT, false},
        {"command=bind via=0", S5_PROTO_TCP, S5_CMD_BIND, true},
        {"command=bind via=0", S5_PROTO_TCP, S5_CMD_CONNECT, false},
        {"command=connect,bind via=0", S5_PROTO_TCP, S5_CMD_BIND, true},
        {"command=connect,bind via=0", S5_PROTO_TCP, S5_CMD_CONNECT, true},
        {"command=connect,bind via=0", S5_PROTO_UDP, S5_CMD_UDP, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = make_policy(RULES(cases[i].rule));
        struct s5_route r = decide_for(p, "192.0.2.1", 7, cases[i].protocol, cases[i].command);
        cr_expect_eq(r.rule == 0, cases[i].covered, "\"%s\", %u, %u", cases[i].rule,
                     cases[i].protocol, cases[i].command);
        free(p);
    }
}

/* A rule covers loopback only if a destination names it: a block within loopback, or "localhost". */
Test(policy, loopback_is_covered_only_if_named)
{
    static const struct cover cases[] = {
        {"via=0", "127.0.0.1", 80, false},
        {"via=0", "::1", 80, false},
        {"via=0", "0.0.0.0", 80, false},
        {"via=0", "::", 80, false},
        {"via=0", "127.255.255.254", 80, false},
        {"via=0", "::ffff:127.0.0.1", 80, false},
        {"via=0", "localhost", 80, false},
        {"via=0", "LocalHost.", 80, false},
        {"via=0", "db.localhost", 80, false},
        {"via=0", "notlocalhost", 80, true},
        {"via=0", "localhost.example", 80, true},
        {"via=0", "128.0.0.1", 80, true},
        {"via=0", "::2", 80, true},
        {"ports=80 via=0", "127.0.0.1", 80, false},
        {"to=* via=0", "127.0.0.1", 80, false},
        {"to=* via=0", "localhost", 80, false},
        {"to=0.0.0.0/0 via=0", "127.0.0.1", 80, false},
        {"to=0.0.0.0/0 via=0", "0.0.0.0", 80, false},
        {"to=126.0.0.0/7 via=0", "127.0.0.1", 80, false},
        {"to=126.0.0.0/7 via=0", "126.0.0.1", 80, true},
        {"to=::/0 via=0", "::1", 80, false},
        {"to=::/127 via=0", "::1", 80, false},
        {"to=127.0.0.0/8 via=0", "127.0.0.1", 80, true},
        {"to=127.0.0.0/8 via=0", "127.9.9.9", 80, true},
        {"to=127.0.0.0/8 via=0", "::ffff:127.0.0.1", 80, true},
        {"to=127.0.0.0/8 via=0", "::1", 80, false},
        {"to=127.0.0.1 via=0", "127.0.0.1", 80, true},
        {"to=127.0.0.1 via=0", "127.0.0.2", 80, false},
        {"to=::1 via=0", "::1", 80, true},
        {"to=::1 via=0", "127.0.0.1", 80, false},
        {"to=127.0.0.1 ports=80 via=0", "127.0.0.1", 81, false},
        {"to=localhost via=0", "localhost", 80, true},
        {"to=localhost via=0", "LOCALHOST.", 80, true},
        {"to=localhost via=0", "db.localhost", 80, false},
        {"to=.localhost via=0", "db.localhost", 80, true},
        {"to=.localhost via=0", "localhost", 80, true},
        {"to=db.localhost via=0", "db.localhost", 80, true},
        {"to=db.localhost via=0", "localhost", 80, false},
        {"to=.db.localhost via=0", "a.db.localhost", 80, true},
    };
    expect_covers(cases, COUNT(cases), S5_PROTO_TCP, S5_CMD_CONNECT);
}

/* The kernel connects the unspecified address to this machine. It must not bypass a rule. */
Test(policy, the_unspecified_address_is_this_machine)
{
    static const struct cover cases[] = {
        {"to=127.0.0.1 via=0", "0.0.0.0", 80, true},  {"to=127.0.0.0/8 via=0", "0.0.0.0", 80, true},
        {"to=127.0.0.2 via=0", "0.0.0.0", 80, false}, {"to=::1 via=0", "::", 80, true},
        {"to=127.0.0.0/8 via=0", "::", 80, false},    {"to=::1 via=0", "0.0.0.0", 80, false},
        {"to=0.0.0.0 via=0", "0.0.0.0", 80, true},    {"to=:: via=0", "::", 80, true},
        {"to=0.0.0.0 via=0", "127.0.0.1", 80, false}, {"to=:: via=0", "::1", 80, false},
        {"to=0.0.0.0 via=0", "192.0.2.1", 80, false},
    };
    expect_covers(cases, COUNT(cases), S5_PROTO_TCP, S5_CMD_CONNECT);
}

/* --- the verdict --- */

Test(policy, the_first_match_decides)
{
    struct s5_policy *p =
        make_policy(RULES("to=10.1.0.0/16 via=deny", "to=10.0.0.0/8 via=direct",
                          "to=.example ports=25 via=deny", "to=.example via=1", "via=0"));
    static const struct {
        const char *to;
        uint16_t port;
        enum s5_verdict verdict;
        int server, rule;
    } cases[] = {
        {"10.1.2.3", 80, S5_DENY, -1, 0},  {"10.2.2.3", 80, S5_DIRECT, -1, 1},
        {"a.example", 25, S5_DENY, -1, 2}, {"a.example", 80, S5_VIA, 1, 3},
        {"192.0.2.1", 25, S5_VIA, 0, 4},   {"a.invalid", 1, S5_VIA, 0, 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_route r = decide(p, cases[i].to, cases[i].port);
        cr_expect_eq(r.verdict, cases[i].verdict, "%s", cases[i].to);
        cr_expect_eq(r.server, cases[i].server, "%s", cases[i].to);
        cr_expect_eq(r.rule, cases[i].rule, "%s", cases[i].to);
        cr_expect_eq(r.why, S5_WHY_RULE);
    }
    free(p);
}

Test(policy, without_a_rule)
{
    static const struct {
        const char *to;
        uint8_t command;
        enum s5_verdict verdict;
        int why;
    } cases[] = {
        {"192.0.2.1", S5_CMD_CONNECT, S5_DENY, S5_WHY_NO_RULE},
        {"example.org", S5_CMD_CONNECT, S5_DENY, S5_WHY_NO_RULE},
        {"2001:db8::1", S5_CMD_UDP, S5_DENY, S5_WHY_NO_RULE},
        {"127.0.0.1", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"127.1.2.3", S5_CMD_UDP, S5_DIRECT, S5_WHY_LOOPBACK},
        {"::1", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"::", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"0.0.0.0", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"localhost", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"a.localhost", S5_CMD_CONNECT, S5_DIRECT, S5_WHY_LOOPBACK},
        {"192.0.2.1", S5_CMD_BIND, S5_DIRECT, S5_WHY_LISTENER},
        {"example.org", S5_CMD_BIND, S5_DIRECT, S5_WHY_LISTENER},
        {"127.0.0.1", S5_CMD_BIND, S5_DIRECT, S5_WHY_LOOPBACK},
    };
    struct s5_policy *p = make_policy(RULES("to=198.51.100.1 via=0"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_route r = decide_for(p, cases[i].to, 80, S5_PROTO_TCP, cases[i].command);
        cr_expect_eq(r.verdict, cases[i].verdict, "%s, %u", cases[i].to, cases[i].command);
        cr_expect_eq((int)r.why, cases[i].why, "%s, %u", cases[i].to, cases[i].command);
        cr_expect(r.server == -1 && r.rule == -1);
    }
    free(p);
}

/* A rule applies to a listener only if it names "bind", whatever else it contains. */
Test(policy, listeners)
{
    static const struct {
        const char *rule, *to;
        enum s5_verdict verdict;
    } cases[] = {
        {"via=0", "192.0.2.1", S5_DIRECT},
        {"via=deny", "192.0.2.1", S5_DIRECT},
        {"to=192.0.2.1 via=deny", "192.0.2.1", S5_DIRECT},
        {"command=bind via=0", "192.0.2.1", S5_VIA},
        {"command=bind via=deny", "192.0.2.1", S5_DENY},
        {"command=bind via=0", "0.0.0.0", S5_DIRECT},
        {"command=bind via=0", "127.0.0.1", S5_DIRECT},
        {"command=bind to=0.0.0.0 via=0", "0.0.0.0", S5_VIA},
        {"command=bind to=:: via=0", "::", S5_VIA},
        {"command=bind to=127.0.0.1 via=deny", "127.0.0.1", S5_DENY},
        {"command=bind ports=21 via=0", "192.0.2.1", S5_DIRECT},
        {"command=bind protocol=udp via=0", "192.0.2.1", S5_DIRECT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = make_policy(RULES(cases[i].rule));
        struct s5_route r = decide_for(p, cases[i].to, 20, S5_PROTO_TCP, S5_CMD_BIND);
        cr_expect_eq(r.verdict, cases[i].verdict, "\"%s\", %s", cases[i].rule, cases[i].to);
        free(p);
    }
}

Test(policy, a_server_carries_only_tcp_and_udp)
{
    struct s5_policy *p = make_policy(RULES("to=10.0.0.0/8 via=direct", "via=1"));
    struct s5_route r = decide_for(p, "192.0.2.1", 0, 0, S5_CMD_CONNECT);
    cr_expect(r.verdict == S5_DENY && r.server == -1 && r.rule == 1 && r.why == S5_WHY_RULE);
    r = decide_for(p, "10.0.0.1", 0, 0, S5_CMD_CONNECT);
    cr_expect(r.verdict == S5_DIRECT && r.rule == 0);
    r = decide_for(p, "127.0.0.1", 0, 0, S5_CMD_CONNECT);
    cr_expect(r.verdict == S5_DIRECT && r.rule == -1);
    free(p);
}

Test(policy, a_flow_without_a_destination_is_denied)
{
    struct s5_policy *p = make_policy(RULES("to=10.0.0.0/8 via=direct"));
    struct s5_addr none = {0};
    struct s5_route r = s5_policy_decide(p, &(struct s5_flow){&none, S5_PROTO_TCP, S5_CMD_CONNECT});
    cr_expect(r.verdict == S5_DENY && r.why == S5_WHY_NO_RULE);
    free(p);
}

/* A listener on every address has no address of its own. */
Test(policy, a_listener_on_every_address)
{
    static const struct {
        const char *rule;
        enum s5_verdict verdict;
    } cases[] = {
        {"command=bind via=deny", S5_DENY},
        {"command=bind to=* via=deny", S5_DENY},
        {"command=bind to=127.0.0.0/8,::1,10.0.0.0/8,0.0.0.0/0 via=deny", S5_DIRECT},
        {"via=deny", S5_DIRECT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = make_policy(RULES(cases[i].rule));
        struct s5_addr every = {.port = 80};
        struct s5_route r =
            s5_policy_decide(p, &(struct s5_flow){&every, S5_PROTO_TCP, S5_CMD_BIND});
        cr_expect_eq(r.verdict, cases[i].verdict, "%s", cases[i].rule);
        free(p);
    }
}

/* --- the texts --- */

Test(policy, invalid_destinations)
{
    static const char *const bad[] = {
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8x",
        "10.0.0.0/ 8",
        "10.0.0.1/8",
        "192.0.2.1/31",
        "10.0.0/8",
        "/8",
        "::1/129",
        "::1/64",
        "2001:db8::/",
        "2001:db8::1/127",
        "example.org/8",
        "a b",
        "*.*",
        "ex*mple.org",
        ".",
        "[::1",
        "::1]",
        "1:2",
        "host:80",
        "192.0.2.1:80",
        "10.0.0.0/0008",
        "10.0.0",
        "192.168.",
        "300.1.1.1",
        "example.7",
        "1",
        ".10.0.0.1",
        "::ffff:10.0.0.0/8",
        "::ffff:10.0.0.0/95",
        "::ffff:10.0.0.1/129",
    };
    struct s5_policy *p = fresh();
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_expect_eq(s5_policy_add_match(p, bad[i], strlen(bad[i])), -EINVAL, "\"%s\"", bad[i]);
        cr_expect_eq(p->n_matches, 0);
    }
    free(p);
}

Test(policy, invalid_ports)
{
    static const char *const bad[] = {
        "",    "0",   "65536", "99999999999", "-",   "1-",  "-1",    "0-1",   "1-65536",
        "2-1", "80x", "x",     " 80",         "80 ", "+80", "80,81", "1-2-3", "0x50",
    };
    struct s5_policy *p = fresh();
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_expect_eq(s5_policy_add_ports(p, bad[i]), -EINVAL, "\"%s\"", bad[i]);
        cr_expect_eq(p->n_ports, 0);
    }
    cr_expect_eq(s5_policy_add_ports(p, "1"), 0);
    cr_expect_eq(s5_policy_add_ports(p, "65535"), 1);
    cr_expect_eq(s5_policy_add_ports(p, "7-7"), 2);
    cr_expect(p->ports[2].low == 7 && p->ports[2].high == 7);
    free(p);
}

Test(policy, every_array_is_bounded)
{
    struct s5_policy *p = fresh();
    for (int i = 0; i < S5_POLICY_MATCHES; i++)
        cr_assert_eq(s5_policy_add_match(p, "192.0.2.1", 9), i);
    cr_expect_eq(s5_policy_add_match(p, "192.0.2.1", 9), -ENOSPC);
    for (int i = 0; i < S5_POLICY_PORTS; i++)
        cr_assert_eq(s5_policy_add_ports(p, "80"), i);
    cr_expect_eq(s5_policy_add_ports(p, "80"), -ENOSPC);
    for (int i = 0; i < S5_POLICY_SERVERS; i++)
        cr_assert_eq(s5_policy_add_server(p, "s"), i);
    cr_expect_eq(s5_policy_add_server(p, "s"), -ENOSPC);
    free(p);
}

Test(policy, texts)
{
    struct s5_policy *p = fresh();
    static char much[S5_POLICY_TEXT];
    memset(much, 'x', sizeof much);
    cr_expect_eq(s5_policy_add_text(p, "", 0), 0);
    int64_t at = s5_policy_add_text(p, "abcdef", 3);
    cr_expect_gt(at, 0);
    cr_expect_str_eq(s5_policy_text(p, (uint32_t)at), "abc");
    cr_expect_str_eq(s5_policy_text(p, 0), "");
    cr_expect_str_eq(s5_policy_text(p, S5_POLICY_TEXT), "");
    cr_expect_str_eq(s5_policy_text(p, UINT32_MAX), "");
    cr_expect_eq(s5_policy_add_text(p, much, sizeof much), -ENOSPC);
    size_t left = S5_POLICY_TEXT - p->n_text - 1;
    cr_expect_eq(s5_policy_add_text(p, much, left + 1), -ENOSPC);
    cr_expect_geq(s5_policy_add_text(p, much, left), 0);
    cr_expect_eq(s5_policy_add_text(p, "a", 1), -ENOSPC);
    cr_expect_eq(s5_policy_add_text(p, "", 0), 0);
    free(p);
}

Test(policy, a_new_server_has_the_defaults)
{
    struct s5_policy *p = fresh();
    cr_assert_eq(s5_policy_add_server(p, "corp"), 0);
    const struct s5_server *s = &p->servers[0];
    cr_expect_str_eq(s5_policy_text(p, s->name), "corp");
    cr_expect_str_eq(s5_policy_text(p, s->gssapi_service), "rcmd");
    cr_expect(s->port == 1080 && s->timeout == 30 && s->pipeline == S5_PIPELINE_AUTO);
    cr_expect(s->gssapi_protection == 2 && s->n_methods == 0 && s->n_addrs == 0 && !s->is_path);
    cr_expect(s->username_len == 0 && s->password_len == 0 && s->host == 0);
    cr_expect(p->log_level == S5_LOG_ERROR && p->log_file == 0 && !p->resolve_local);
    free(p);
}

Test(listen, port_0_is_bound_at_the_server_of_the_last_peer)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    struct s5_addr at = {.kind = S5_ADDR_IPV4, .octets = {192, 0, 2, 1}};
    s5_policy_init(p);
    cr_assert_eq(s5_policy_add_server(p, "one"), 0);
    cr_assert_eq(s5_policy_add_server(p, "two"), 1);
    cr_assert_eq(s5_policy_listen(p, &at, 0).verdict, S5_DIRECT, "nobody was called");
    struct s5_route r = s5_policy_listen(p, &at, 2);
    cr_assert(r.verdict == S5_VIA && r.server == 1 && r.rule == -1 && r.why == S5_WHY_LAST_PEER);
    cr_assert_eq(s5_policy_listen(p, &at, 3).verdict, S5_DIRECT, "of another policy");
    at.kind = S5_ADDR_NONE;
    cr_assert_eq(s5_policy_listen(p, &at, 2).verdict, S5_VIA, "every address");
    at.port = 8080;
    cr_assert_eq(s5_policy_listen(p, &at, 2).verdict, S5_DIRECT, "who serves chooses the port");
    at = (struct s5_addr){.kind = S5_ADDR_IPV4, .octets = {127, 0, 0, 1}};
    cr_assert_eq(s5_policy_listen(p, &at, 2).why, S5_WHY_LOOPBACK);
    free(p);
}

Test(listen, a_rule_takes_precedence)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    struct s5_addr at = {.kind = S5_ADDR_IPV4, .octets = {192, 0, 2, 1}};
    s5_policy_init(p);
    cr_assert_eq(s5_policy_add_server(p, "one"), 0);
    p->rules[0] = (struct s5_rule){.commands = S5_CMD_BIND, .verdict = S5_DENY};
    p->n_rules = 1;
    cr_assert_eq(s5_policy_listen(p, &at, 1).verdict, S5_DENY);
    p->rules[0].verdict = S5_DIRECT;
    cr_assert_eq(s5_policy_listen(p, &at, 1).verdict, S5_DIRECT);
    p->rules[0].verdict = S5_VIA;
    at.port = 80;
    cr_assert_eq(s5_policy_listen(p, &at, 0).verdict, S5_VIA);
    p->rules[0].commands = 0;
    cr_assert_eq(s5_policy_listen(p, &at, 1).verdict, S5_DIRECT, "it does not name bind");
    free(p);
}
