/* The entry of a server has its isolation, so that a negotiation reads nothing but the entry. A rule that sets
 * "isolate" gets a copy of the entry that differs in its isolation only. */
#include "isolate.h"
#include "config_values.h"
#include "credentials.h"
#include "isolation.h"
#include <errno.h>
#include <string.h>

#define USERPASS 2 /* method numbers of RFC 1928 */
#define GSSAPI   1

/* Returns the words of SOCKS5_ISOLATE as S5_ISOLATE_* bits, or -EINVAL. */
static int parse_isolate_words(const char *text, struct s5_fault *ret_fault)
{
    static const char between[] = ", \t";
    int bits = 0;
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        char word[16] = "";
        size_t len = strcspn(at, between);
        if (len < sizeof word)
            memcpy(word, at, len);
        int bit = s5_config_word("isolate", word);
        if (bit < 0)
            return s5_fault_set(ret_fault, -EINVAL,
                                "SOCKS5_ISOLATE: \"%.*s\" is unknown; expected none, process, destination, rule",
                                (int)len, at);
        bits |= 1 << bit;
        at += len;
    }
    return bits;
}

/* Finds or adds the copy of the entry SERVER that has ISOLATE and RULE. Returns its index, or -ENOSPC. */
static int find_or_add_entry(struct s5_policy *p, unsigned server, uint8_t isolate, uint16_t rule)
{
    const struct s5_server *own = &p->servers[server];
    for (unsigned i = 0; i < p->n_servers; i++) {
        const struct s5_server *s = &p->servers[i];
        if (s->name == own->name && s->isolate == isolate && s->isolate_rule == rule)
            return (int)i;
    }
    if (p->n_servers >= S5_POLICY_SERVERS)
        return -ENOSPC;
    struct s5_server *copy = &p->servers[p->n_servers];
    *copy = *own;
    copy->isolate = isolate;
    copy->isolate_rule = rule;
    copy->isolate_title = rule ? p->rules[rule - 1].name : 0;
    copy->index = (uint8_t)p->n_servers;
    return (int)p->n_servers++;
}

/* Gives rule number AT entries with the isolation of the rule, or of the servers where the rule sets none. */
static int set_rule_isolation(struct s5_policy *p, unsigned at, struct s5_fault *ret_fault)
{
    struct s5_rule *rule = &p->rules[at];
    for (unsigned n = 0; n < rule->via_count; n++) {
        uint8_t *via = &p->vias[rule->via_first + n];
        if (p->servers[*via].n_hops && rule->isolate)
            return s5_fault_set(ret_fault, -EINVAL, "%s:%u: chain \"%s\" has the isolation of its servers",
                                s5_policy_text(p, p->source), (unsigned)rule->line,
                                s5_policy_text(p, p->servers[*via].name));
        if (p->servers[*via].n_hops)
            continue;
        uint8_t isolate = rule->isolate ? rule->isolate : p->servers[*via].isolate;
        isolate &= (uint8_t)~S5_ISOLATE_NONE;
        int i = find_or_add_entry(p, *via, isolate, isolate & S5_ISOLATE_RULE ? (uint16_t)(at + 1) : 0);
        if (i < 0)
            return s5_fault_set(ret_fault, -ENOSPC,
                                "%s:%u: isolation by rule: too many servers and rules: %d is the limit",
                                s5_policy_text(p, p->source), (unsigned)rule->line, S5_POLICY_SERVERS);
        *via = (uint8_t)i;
    }
    return 0;
}

/* Checks an isolated server: its user name and methods must allow isolation. Makes userpass its only method. */
static int check_isolated_server(const struct s5_policy *p, struct s5_server *s, struct s5_fault *ret_fault)
{
    if (!s->isolate)
        return 0;
    const char *wrong = NULL;
    if (memchr(s->methods, GSSAPI, s->n_methods))
        wrong = "isolation needs user names, but gssapi is among the methods";
    else if (s->username_len + S5_ISOLATION_WORD > (int)sizeof s->username)
        wrong = "its username is too long to append a word of 16 octets";
    if (wrong)
        return s5_fault_set(ret_fault, -EINVAL, "%s: server \"%s\": %s", s5_policy_text(p, p->source),
                            s5_policy_text(p, s->name), wrong);
    s->n_methods = 1;
    s->methods[0] = USERPASS;
    return 0;
}

int s5_isolate_resolve(struct s5_policy *p, const struct s5_environment *env, struct s5_fault *ret_fault)
{
    int bits = env->isolate ? parse_isolate_words(env->isolate, ret_fault) : 0;
    int r = bits < 0 ? bits : 0;
    for (unsigned i = 0; r == 0 && i < p->n_servers; i++) {
        struct s5_server *s = &p->servers[i];
        if (!s->n_hops) /* a chain has that of its servers */
            s->isolate = (s->isolate ? s->isolate : (uint8_t)bits) & (uint8_t)~S5_ISOLATE_NONE;
        s->isolate_server = (uint8_t)i;
    }
    for (unsigned i = 0; r == 0 && i < p->n_rules; i++)
        r = set_rule_isolation(p, i, ret_fault);
    for (unsigned i = 0; r == 0 && i < p->n_servers; i++)
        r = check_isolated_server(p, &p->servers[i], ret_fault);
    return r;
}
