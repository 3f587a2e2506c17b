/* Checks a policy that another process wrote: every index and every length is within its array, and every text
 * ends. */
#include "policy_check.h"
#include "isolation.h"
#include "policy.h"
#include <stddef.h>
#include <string.h>

static bool is_valid_range(uint32_t first, uint32_t count, uint32_t n)
{
    return first <= n && count <= n - first;
}

/* The servers of a chain are no chains. */
static bool is_valid_chain(const struct s5_policy *p, const struct s5_server *chain)
{
    if (!is_valid_range(chain->hops_first, chain->n_hops, p->n_vias) || chain->n_hops > S5_POLICY_SERVERS ||
        chain->chain_mode > S5_CHAIN_ROUND_ROBIN || chain->chain_length < 1 || chain->chain_length > S5_CHAIN_HOPS)
        return false;
    for (unsigned i = 0; i < chain->n_hops; i++) {
        uint8_t hop = p->vias[chain->hops_first + i];
        if (hop >= p->n_servers || p->servers[hop].n_hops)
            return false;
    }
    return true;
}

static bool is_valid_server(const struct s5_policy *p, const struct s5_server *s)
{
    size_t word = s->isolate & ~S5_ISOLATE_NONE ? S5_ISOLATION_WORD : 0; /* appended to the user name */
    return s->n_methods <= S5_SERVER_METHODS && s->n_addrs <= S5_SERVER_ADDRS && s->isolate_server < p->n_servers &&
           s->index == (unsigned)(s - p->servers) && s->username_len + word <= sizeof s->username &&
           (!s->n_hops || is_valid_chain(p, s));
}

static bool is_valid_rule(const struct s5_policy *p, const struct s5_rule *r)
{
    return is_valid_range(r->to_first, r->to_count, p->n_matches) &&
           is_valid_range(r->ports_first, r->ports_count, p->n_ports) && r->verdict <= S5_VIA &&
           is_valid_range(r->via_first, r->via_count, p->n_vias) && (r->verdict != S5_VIA || r->via_count) &&
           r->via_count <= S5_POLICY_SERVERS && r->pick <= S5_PICK_STICKY;
}

static bool is_valid_match(const struct s5_match *m)
{
    return m->kind <= S5_MATCH_ANY &&
           (m->kind != S5_MATCH_BLOCK || m->prefix <= (m->family == S5_ADDR_IPV4 ? 32 : 128));
}

static bool has_valid_counts(const struct s5_policy *p)
{
    return p->n_servers <= S5_POLICY_SERVERS && p->n_rules <= S5_POLICY_RULES && p->n_matches <= S5_POLICY_MATCHES &&
           p->n_ports <= S5_POLICY_PORTS && p->n_programs <= S5_POLICY_PROGRAMS && p->n_vias <= S5_POLICY_VIAS &&
           p->n_text <= S5_POLICY_TEXT;
}

bool s5_policy_copy(struct s5_policy *ret, const struct s5_policy *from)
{
    memcpy(ret, from, offsetof(struct s5_policy, servers));
    if (!has_valid_counts(ret))
        return false;
    memcpy(ret->servers, from->servers, ret->n_servers * sizeof from->servers[0]);
    memcpy(ret->rules, from->rules, ret->n_rules * sizeof from->rules[0]);
    memcpy(ret->matches, from->matches, ret->n_matches * sizeof from->matches[0]);
    memcpy(ret->programs, from->programs, ret->n_programs * sizeof from->programs[0]);
    memcpy(ret->vias, from->vias, ret->n_vias * sizeof from->vias[0]);
    memcpy(ret->ports, from->ports, ret->n_ports * sizeof from->ports[0]);
    memcpy(ret->text, from->text, ret->n_text);
    return true;
}

bool s5_policy_is_sound(const struct s5_policy *p)
{
    bool sound = has_valid_counts(p) && p->engine <= S5_ENGINE_NAMESPACE && !p->text[S5_POLICY_TEXT - 1] &&
                 memchr(p->search, 0, sizeof p->search) && p->fake_ipv4.prefix >= 8 && p->fake_ipv4.prefix <= 16 &&
                 p->fake_ipv6.prefix <= 108;
    for (uint32_t i = 0; sound && i < p->n_servers; i++)
        sound = is_valid_server(p, &p->servers[i]);
    for (uint32_t i = 0; sound && i < p->n_rules; i++)
        sound = is_valid_rule(p, &p->rules[i]);
    for (uint32_t i = 0; sound && i < p->n_vias; i++)
        sound = p->vias[i] < p->n_servers;
    for (uint32_t i = 0; sound && i < p->n_matches; i++)
        sound = is_valid_match(&p->matches[i]);
    for (uint32_t i = 0; sound && i < p->n_programs; i++)
        sound = p->programs[i].engine <= S5_ENGINE_NAMESPACE;
    return sound;
}
