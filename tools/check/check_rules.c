/* Theory of operation: a server that does not work is a failure if a rule has no other one. If all its rules have
 * others, its rows are warnings, and the rows of each rule say whether one of them works. */
#include "check_rules.h"
#include "explain.h"
#include "known_servers.h"

#include <stdio.h>
#include <string.h>

unsigned check_rules_first(const struct s5_policy *policy, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (policy->servers[i].name == policy->servers[index].name && memchr(policy->vias, (int)i, policy->n_vias) &&
            !policy->servers[i].isolate == !policy->servers[index].isolate)
            return i;
    return index;
}

/* Returns the server at place AT of RULE's list. */
static unsigned get_server(const struct s5_policy *policy, const struct s5_rule *rule, unsigned at)
{
    return check_rules_first(policy, policy->vias[rule->via_first + at]);
}

static bool has_server(const struct s5_policy *policy, const struct s5_rule *rule, unsigned index)
{
    for (unsigned at = 0; at < rule->via_count; at++)
        if (get_server(policy, rule, at) == index)
            return true;
    return false;
}

/* Returns true if the first server of every connection through ENTRY is INDEX: it is that server, or a chain. */
static bool begins_with(const struct s5_policy *policy, unsigned entry, unsigned index)
{
    const struct s5_server *chain = &policy->servers[entry];
    if (chain->n_hops == 0)
        return check_rules_first(policy, entry) == index;
    return s5_policy_first_hops(chain) == 1 && check_rules_first(policy, policy->vias[chain->hops_first]) == index;
}

bool check_rules_is_spare(const struct s5_policy *policy, unsigned index)
{
    for (unsigned i = 0; i < policy->n_rules; i++)
        if (policy->rules[i].via_count == 1 && begins_with(policy, policy->vias[policy->rules[i].via_first], index))
            return false;
    return true;
}

static bool is_in_list(const struct s5_policy *policy, unsigned index)
{
    for (unsigned i = 0; i < policy->n_rules; i++)
        if (policy->rules[i].via_count > 1 && has_server(policy, &policy->rules[i], index))
            return true;
    return false;
}

void check_rules_known(struct report *report, const struct s5_policy *policy, unsigned index)
{
    char text[128];
    unsigned left;
    if (!is_in_list(policy, index) || !known_servers_down(policy, &policy->servers[index], text, &left))
        return;
    if (left > 0)
        report_row(report, "known", FINDING_WARNING, NULL, "down: %s; connections use others for %u s", text, left);
    else
        report_row(report, "known", FINDING_OK, NULL, "was down: %s; the next connection tries it", text);
}

/* Stores the titles of the COUNT servers of the list at FIRST in TEXT: of all of them or, if WORKS is not NULL, of
 * those that do not work. */
static void list_servers(const struct s5_policy *policy, unsigned first, unsigned count, const bool *works, char *text,
                         size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned at = 0; at < count && used < size; at++) {
        unsigned index = check_rules_first(policy, policy->vias[first + at]);
        if (!works || !works[index])
            used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", used ? ", " : "",
                                     s5_policy_text(policy, policy->servers[index].name));
    }
}

static void check_rule(struct report *report, const struct s5_policy *policy, const struct s5_rule *rule,
                       const bool works[S5_POLICY_SERVERS])
{
    char title[300], all[800], bad[800];
    unsigned good = 0;
    snprintf(title, sizeof(title), "\"%s\"", s5_policy_text(policy, rule->name));
    report_group(report, "rule", title);
    list_servers(policy, rule->via_first, rule->via_count, NULL, all, sizeof(all));
    report_row(report, "order", FINDING_OK, NULL, "%s, %s", all, explain_order(rule));
    for (unsigned at = 0; at < rule->via_count; at++)
        good += works[get_server(policy, rule, at)];
    list_servers(policy, rule->via_first, rule->via_count, works, bad, sizeof(bad));
    if (good == rule->via_count)
        report_row(report, "servers", FINDING_OK, NULL, "all %u work", good);
    else if (good > 0)
        report_row(report, "servers", FINDING_WARNING, "connections use the others; see the rows of the server",
                   "%u of %u work, without %s", good, (unsigned)rule->via_count, bad);
    else
        report_row(report, "servers", FINDING_FAIL, "see the rows of the servers", "none of %u works",
                   (unsigned)rule->via_count);
}

/* Of the servers of CHAIN only those that can be the first are connected to from here. Returns true if one of them
 * works. */
static bool check_chain(struct report *report, const struct s5_policy *policy, const struct s5_server *chain,
                        const bool works[S5_POLICY_SERVERS])
{
    char title[300], text[800];
    bool good = false;
    list_servers(policy, chain->hops_first, chain->n_hops, NULL, text, sizeof(text));
    for (unsigned i = 0; i < s5_policy_first_hops(chain); i++)
        good |= works[check_rules_first(policy, policy->vias[chain->hops_first + i])];
    snprintf(title, sizeof(title), "\"%s\"", s5_policy_text(policy, chain->name));
    report_group(report, "chain", title);
    report_row(report, "servers", good ? FINDING_UNKNOWN : FINDING_FAIL, good ? NULL : "see the rows of the servers",
               "%s; %s", text, good ? "what is behind the first one is not checked" : "the first one does not work");
    return good;
}

void check_rules_chains(struct report *report, const struct s5_policy *policy, bool works[S5_POLICY_SERVERS])
{
    for (unsigned i = 0; i < policy->n_servers; i++)
        if (policy->servers[i].n_hops > 0 && s5_policy_connects_to(policy, i))
            works[i] = check_chain(report, policy, &policy->servers[i], works);
}

void check_rules(struct report *report, const struct s5_policy *policy, const bool works[S5_POLICY_SERVERS])
{
    for (unsigned i = 0; i < policy->n_rules; i++)
        if (policy->rules[i].via_count > 1)
            check_rule(report, policy, &policy->rules[i], works);
}
