/* Rules for names that are looked up, and the ranges of fake addresses. */
#include "policy_script.h"

/* Adds one rule. TO and PORTS may be NULL. */
static void add_rule(struct s5_policy *p, const char *to, const char *ports, uint8_t protocols,
                     enum s5_verdict verdict)
{
    struct s5_rule *r = &p->rules[p->n_rules++];
    memset(r, 0, sizeof *r);
    r->to_first = (uint16_t)p->n_matches;
    r->to_count = to && s5_policy_add_match(p, to, strlen(to)) >= 0;
    r->ports_first = (uint16_t)p->n_ports;
    r->ports_count = ports && s5_policy_add_ports(p, ports) >= 0;
    r->protocols = protocols;
    r->verdict = (uint8_t)verdict;
}

static enum s5_verdict decide_name(const struct s5_policy *p, const char *text)
{
    struct s5_addr name = addr_of(text, 0);
    return s5_policy_decide_name(p, &name).verdict;
}

Test(policy_names, the_first_rule_for_a_name_decides)
{
    struct s5_policy *p = fresh();
    add_rule(p, ".near.example", NULL, 0, S5_DIRECT);
    add_rule(p, "10.0.0.0/8", NULL, 0, S5_DIRECT);
    add_rule(p, "evil.example", NULL, 0, S5_DENY);
    cr_expect_eq(decide_name(p, "host.near.example"), S5_DIRECT);
    cr_expect_eq(decide_name(p, "NEAR.example."), S5_DIRECT);
    cr_expect_eq(decide_name(p, "evil.example"), S5_DENY);
    cr_expect_eq(decide_name(p, "other.example"), S5_DENY, "no rule");
    cr_expect_eq(decide_name(p, "localhost"), S5_DIRECT);
    cr_expect_eq(decide_name(p, "below.localhost"), S5_DIRECT);
    add_rule(p, NULL, NULL, 0, S5_VIA);
    cr_expect_eq(decide_name(p, "other.example"), S5_VIA);
    cr_expect_eq(decide_name(p, "evil.example"), S5_DENY);
    cr_expect_eq(decide_name(p, "localhost"), S5_DIRECT);
    free(p);
}

Test(policy_names, rules_with_ports_or_protocols_are_left_for_later)
{
    struct s5_policy *p = fresh();
    add_rule(p, "a.example", "22", 0, S5_DIRECT);
    add_rule(p, "b.example", NULL, S5_PROTO_UDP, S5_DENY);
    add_rule(p, "c.example", "22", 0, S5_DENY);
    add_rule(p, "d.example", NULL, S5_PROTO_TCP | S5_PROTO_UDP, S5_DENY);
    add_rule(p, "e.example", "1", 0, S5_DIRECT);
    add_rule(p, "e.example", NULL, 0, S5_DIRECT);
    add_rule(p, "b.example", NULL, 0, S5_DIRECT);
    add_rule(p, "a.example", NULL, 0, S5_VIA);
    cr_expect_eq(decide_name(p, "a.example"), S5_VIA);
    cr_expect_eq(decide_name(p, "b.example"), S5_VIA, "direct or denied: it depends");
    cr_expect_eq(decide_name(p, "c.example"), S5_DENY, "denied in any case");
    cr_expect_eq(decide_name(p, "d.example"), S5_DENY);
    cr_expect_eq(decide_name(p, "e.example"), S5_DIRECT);
    free(p);
}

Test(policy_names, rules_for_listeners_do_not_apply)
{
    struct s5_policy *p = fresh();
    add_rule(p, NULL, NULL, 0, S5_DIRECT);
    p->rules[0].commands = S5_CMD_BIND;
    add_rule(p, NULL, NULL, 0, S5_VIA);
    cr_expect_eq(decide_name(p, "a.example"), S5_VIA);
    free(p);
}

Test(policy_names, a_single_word_is_completed)
{
    static const char *const wrong[] = {"", ".", ".a", "a.", "10.0.0.1", "::1", "a b", "a:1"};
    struct s5_policy *p = fresh();
    struct s5_addr word = addr_of("printer", 80), most = addr_of("x", 0);
    cr_expect_not(s5_policy_complete(p, &word), "with nothing");
    for (size_t i = 0; i < COUNT(wrong); i++)
        cr_expect_lt(s5_policy_set_search(p, wrong[i]), 0, "%s", wrong[i]);
    cr_expect_eq(s5_policy_set_search(p, "corp.example"), 0);
    cr_expect(s5_policy_complete(p, &word));
    cr_expect_str_eq(word.name, "printer.corp.example");
    cr_expect(word.name_len == 20 && word.port == 80);
    cr_expect_not(s5_policy_complete(p, &word), "it is whole now");

    static const char *const whole[] = {"a.b", "printer.", "localhost", "10.0.0.1", "::1"};
    for (size_t i = 0; i < COUNT(whole); i++) {
        struct s5_addr name = addr_of(whole[i], 0);
        cr_expect_not(s5_policy_complete(p, &name), "%s", whole[i]);
    }
    for (size_t len = 241; len <= 243; len++) {
        memset(most.name, 'x', len);
        most.name[len] = 0;
        most.name_len = (uint8_t)len;
        cr_expect_eq(s5_policy_complete(p, &most), len <= 242, "%zu", len);
    }
    p->resolve_local = true;
    word = addr_of("printer", 80);
    cr_expect_not(s5_policy_complete(p, &word), "libc does so by itself");
    free(p);
}

Test(policy_names, ranges_of_fake_addresses)
{
    static const struct {
        uint8_t kind;
        const char *range;
        bool good;
    } cases[] = {
        {S5_ADDR_IPV4, "10.0.0.0/8", true},       {S5_ADDR_IPV4, "10.1.0.0/16", true},
        {S5_ADDR_IPV4, "10.1.0.0/17", false},     {S5_ADDR_IPV4, "8.0.0.0/7", false},
        {S5_ADDR_IPV4, "10.1.0.1/16", false},     {S5_ADDR_IPV4, "10.1.0.0", false},
        {S5_ADDR_IPV4, "10.1.0.0/", false},       {S5_ADDR_IPV4, "127.0.0.0/8", false},
        {S5_ADDR_IPV4, "224.0.0.0/8", false},     {S5_ADDR_IPV4, "fd00::/16", false},
        {S5_ADDR_IPV4, "name.example/16", false}, {S5_ADDR_IPV4, "", false},
        {S5_ADDR_IPV6, "fd00::/16", true},        {S5_ADDR_IPV6, "fd00:1::/108", true},
        {S5_ADDR_IPV6, "fd00:1::/109", false},    {S5_ADDR_IPV6, "fd00::/15", false},
        {S5_ADDR_IPV6, "::1/64", false},          {S5_ADDR_IPV6, "ff02::/64", false},
        {S5_ADDR_IPV6, "10.0.0.0/8", false},      {S5_ADDR_IPV6, "::ffff:10.1.0.0/112", false},
    };
    struct s5_policy *p = fresh();
    cr_expect(p->fake_ipv4.prefix == 15 && p->fake_ipv6.prefix == 96);
    cr_expect_eq(s5_policy_fake_ranges(p), 131072u);
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_eq(s5_policy_set_fake_range(p, cases[i].kind, cases[i].range) == 0, cases[i].good,
                     "%s", cases[i].range);
    cr_expect_eq(s5_policy_fake_ranges(p), 65536u);
    cr_expect_eq(p->fake_ipv4.octets[1], 1);
    free(p);
}
