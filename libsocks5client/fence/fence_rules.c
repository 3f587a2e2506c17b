#include "fence_rules.h"

/* Whether the block of M and all multicast addresses of its family have an address in common. */
static bool has_multicast_address(const struct s5_match *m)
{
    unsigned bits = m->family == S5_ADDR_IPV4 ? 4 : 8;
    unsigned common = m->prefix < bits ? m->prefix : bits;
    unsigned first = m->family == S5_ADDR_IPV4 ? 0xe0 : 0xff; /* 224.0.0.0/4, ff00::/8 */
    return ((m->octets[0] ^ first) & 0xff & (0xff00u >> common)) == 0;
}

static bool leads_multicast_directly(const struct s5_policy *p, const struct s5_rule *rule)
{
    if (rule->verdict != S5_DIRECT || (rule->protocols && !(rule->protocols & S5_PROTO_UDP)) ||
        (rule->commands && !(rule->commands & S5_CMD_UDP)))
        return false;
    bool any = rule->to_count == 0;
    for (unsigned i = 0; i < rule->to_count; i++) {
        const struct s5_match *m = &p->matches[rule->to_first + i];
        any |= m->kind == S5_MATCH_ANY || (m->kind == S5_MATCH_BLOCK && has_multicast_address(m));
    }
    return any;
}

void s5_fence_rules_apply(struct s5_filter_options *ret, const struct s5_policy *p)
{
    ret->listen = !p;
    ret->multicast = false;
    for (unsigned i = 0; p && i < p->n_rules; i++) {
        const struct s5_rule *rule = &p->rules[i];
        ret->listen |= rule->verdict != S5_DIRECT && rule->commands & S5_CMD_BIND;
        ret->multicast |= leads_multicast_directly(p, rule);
    }
}
