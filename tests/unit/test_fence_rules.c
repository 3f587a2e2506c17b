#include "fence_rules.h"
#include <criterion/criterion.h>
#include <string.h>

static struct s5_policy policy;

static struct s5_rule *add_rule(enum s5_verdict verdict, uint8_t commands, uint8_t protocols, const char *to)
{
    struct s5_rule *rule = &policy.rules[policy.n_rules++];
    *rule = (struct s5_rule){.verdict = (uint8_t)verdict, .commands = commands, .protocols = protocols};
    if (to) {
        rule->to_first = (uint16_t)policy.n_matches;
        rule->to_count = 1;
        cr_assert_geq(s5_policy_add_match(&policy, to, strlen(to)), 0);
    }
    return rule;
}

static struct s5_filter_options options(void)
{
    struct s5_filter_options o = {.listens = true};
    s5_fence_rules_apply(&o, &policy);
    cr_assert(o.listens);
    return o;
}

static void reset(void)
{
    s5_policy_init(&policy);
}

Test(fence_rules, without_rules_nothing_is_left_to_the_kernel)
{
    struct s5_filter_options o = {.multicast = true};
    s5_fence_rules_apply(&o, NULL);
    cr_assert(o.listen && !o.multicast);
}

Test(fence_rules, listeners_are_left_unless_a_rule_leads_or_denies_them, .init = reset)
{
    add_rule(S5_VIA, 0, 0, "*");
    cr_assert_not(options().listen);
    add_rule(S5_DIRECT, S5_CMD_BIND, 0, "*");
    cr_assert_not(options().listen);
    add_rule(S5_DENY, S5_CMD_BIND | S5_CMD_CONNECT, 0, "10.0.0.0/8");
    cr_assert(options().listen);
}

Test(fence_rules, groups_may_be_joined_where_a_rule_leads_multicast_directly, .init = reset)
{
    static const struct {
        enum s5_verdict verdict;
        uint8_t commands, protocols;
        const char *to;
        bool may;
    } rows[] = {
        {S5_DIRECT, 0, 0, "224.0.0.0/4", true},
        {S5_DIRECT, 0, 0, "239.1.2.3", true},
        {S5_DIRECT, 0, 0, "128.0.0.0/1", true},
        {S5_DIRECT, 0, 0, "ff02::/16", true},
        {S5_DIRECT, 0, 0, "8000::/1", true},
        {S5_DIRECT, 0, 0, "*", true},
        {S5_DIRECT, 0, 0, NULL, true},
        {S5_DIRECT, S5_CMD_UDP, S5_PROTO_UDP, "224.0.0.0/4", true},
        {S5_DIRECT, 0, 0, "10.0.0.0/8", false},
        {S5_DIRECT, 0, 0, "192.0.0.0/2", true},
        {S5_DIRECT, 0, 0, "192.0.0.0/3", false},
        {S5_DIRECT, 0, 0, "fe80::/10", false},
        {S5_DIRECT, 0, 0, ".example", false},
        {S5_DIRECT, 0, S5_PROTO_TCP, "224.0.0.0/4", false},
        {S5_DIRECT, S5_CMD_CONNECT, 0, "224.0.0.0/4", false},
        {S5_VIA, 0, 0, "224.0.0.0/4", false},
        {S5_DENY, 0, 0, "224.0.0.0/4", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        reset();
        add_rule(rows[i].verdict, rows[i].commands, rows[i].protocols, rows[i].to);
        cr_expect_eq(options().multicast, rows[i].may, "row %zu, %s", i, rows[i].to ? rows[i].to : "everything");
    }
}
