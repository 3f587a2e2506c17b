/* The decision, and the flat block it reads. A flow is compared with the rules in order. The conditions of a rule
 * are ranges of indexes into the pools of matches and ports: the decision reads small arrays and follows no
 * pointers. */
#include "policy.h"
#include "log.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the block --- */

void s5_policy_init(struct s5_policy *p)
{
    memset(p, 0, offsetof(struct s5_policy, servers));
    p->log_level = S5_LOG_ERROR;
    p->text[0] = 0;
    p->n_text = 1;
    s5_policy_set_fake_range(p, S5_ADDR_IPV4, S5_FAKE_IPV4);
    s5_policy_set_fake_range(p, S5_ADDR_IPV6, S5_FAKE_IPV6);
}

int64_t s5_policy_add_text(struct s5_policy *p, const char *text, size_t len)
{
    if (len == 0)
        return 0;
    if (len >= S5_POLICY_TEXT - p->n_text)
        return -ENOSPC;
    uint32_t at = p->n_text;
    memcpy(p->text + at, text, len);
    p->text[at + len] = 0;
    p->n_text += (uint32_t)len + 1;
    return at;
}

int s5_policy_add_server(struct s5_policy *p, const char *name)
{
    if (p->n_servers >= S5_POLICY_SERVERS)
        return -ENOSPC;
    int64_t text = s5_policy_add_text(p, name, strlen(name));
    if (text < 0)
        return (int)text;
    int64_t service = s5_policy_add_text(p, "rcmd", 4);
    if (service < 0)
        return (int)service;
    struct s5_server *s = &p->servers[p->n_servers];
    memset(s, 0, sizeof *s);
    s->index = (uint8_t)p->n_servers;
    s->name = (uint32_t)text;
    s->port = 1080;
    s->timeout = 30;
    s->gssapi_service = (uint32_t)service;
    s->gssapi_protection = 2;
    return (int)p->n_servers++;
}

/* Adds SERVER to the list that begins at FIRST and has COUNT servers. */
static int add_to_list(struct s5_policy *p, uint16_t *first, uint8_t *count, unsigned server)
{
    if (p->n_vias >= S5_POLICY_VIAS || *count >= S5_POLICY_SERVERS)
        return -ENOSPC;
    if (!(*count)++)
        *first = (uint16_t)p->n_vias;
    p->vias[p->n_vias] = (uint8_t)server;
    return (int)p->n_vias++;
}

int s5_policy_add_via(struct s5_policy *p, unsigned at, unsigned server)
{
    struct s5_rule *rule = &p->rules[at];
    rule->verdict = S5_VIA;
    return add_to_list(p, &rule->via_first, &rule->via_count, server);
}

int s5_policy_add_hop(struct s5_policy *p, unsigned at, unsigned server)
{
    struct s5_server *chain = &p->servers[at];
    return add_to_list(p, &chain->hops_first, &chain->n_hops, server);
}

bool s5_policy_can_begin_with(const struct s5_policy *p, unsigned at, unsigned server)
{
    const struct s5_server *entry = &p->servers[at];
    return at == server || memchr(p->vias + entry->hops_first, (int)server, s5_policy_first_hops(entry));
}

bool s5_policy_connects_to(const struct s5_policy *p, unsigned server)
{
    for (unsigned i = 0; i < p->n_rules; i++)
        for (unsigned n = 0; n < p->rules[i].via_count; n++)
            if (s5_policy_can_begin_with(p, p->vias[p->rules[i].via_first + n], server))
                return true;
    return false;
}

/* --- conditions of rules --- */

/* Whether a bit of a block beyond its prefix is set, which is not allowed. */
static bool has_host_bits(const struct s5_match *m)
{
    unsigned size = m->family == S5_ADDR_IPV4 ? 4 : 16;
    for (unsigned bit = m->prefix; bit < size * 8; bit++)
        if (m->octets[bit / 8] & (0x80 >> bit % 8))
            return true;
    return false;
}

/* Parses a block of ADDR and PREFIX of LEN octets, which may be NULL. MAPPED: an IPv4 block in IPv6 notation, with
 * a prefix of 96 or more. */
static int parse_block(struct s5_match *m, const struct s5_addr *addr, const char *prefix, size_t len, bool mapped)
{
    unsigned most = addr->kind == S5_ADDR_IPV4 && !mapped ? 32 : 128, value = 0;
    unsigned least = mapped ? 96 : 0;
    m->kind = S5_MATCH_BLOCK;
    m->family = addr->kind;
    memcpy(m->octets, addr->octets, addr->kind == S5_ADDR_IPV4 ? 4 : 16);
    if (!prefix)
        value = most;
    else if (len == 0 || len > 3)
        return -EINVAL;
    for (size_t i = 0; prefix && i < len; i++) {
        if (prefix[i] < '0' || prefix[i] > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(prefix[i] - '0');
    }
    if (value < least || value > most)
        return -EINVAL;
    m->prefix = (uint8_t)(value - least);
    return has_host_bits(m) ? -EINVAL : 0;
}

/* Whether NAME is an incomplete or wrong address, such as "10.0.0", "192.168." or "300.1.1.1". As a name it would
 * never match. */
static bool ends_in_number(const char *name, size_t len)
{
    size_t n = len;
    while (n > 0 && name[n - 1] >= '0' && name[n - 1] <= '9')
        n--;
    return n < len && (n == 0 || name[n - 1] == '.');
}

int s5_policy_set_fake_range(struct s5_policy *p, uint8_t kind, const char *range)
{
    struct s5_fake_range *to = kind == S5_ADDR_IPV4 ? &p->fake_ipv4 : &p->fake_ipv6;
    unsigned least = kind == S5_ADDR_IPV4 ? 8 : 16, most = kind == S5_ADDR_IPV4 ? 16 : 108;
    const char *slash = strchr(range, '/');
    struct s5_match m = {0};
    struct s5_addr addr;
    if (!slash || s5_addr_parse(&addr, range, (size_t)(slash - range), 0) < 0 || addr.kind != kind ||
        s5_addr_is_loopback(&addr) || s5_addr_is_multicast(&addr) ||
        parse_block(&m, &addr, slash + 1, strlen(slash + 1), false) < 0 || m.prefix < least || m.prefix > most)
        return -EINVAL;
    memcpy(to->octets, m.octets, sizeof to->octets);
    to->prefix = m.prefix;
    return 0;
}

uint32_t s5_policy_fake_ranges(const struct s5_policy *p)
{
    return p->fake_ipv4.prefix < 16 ? 131072 : 65536;
}

int s5_policy_set_search(struct s5_policy *p, const char *suffix)
{
    struct s5_addr name;
    size_t len = strlen(suffix);
    if (s5_addr_parse(&name, suffix, len, 0) < 0 || name.kind != S5_ADDR_NAME || suffix[0] == '.' ||
        suffix[len - 1] == '.')
        return -EINVAL;
    memcpy(p->search, name.name, len + 1);
    return 0;
}

static int parse_name(struct s5_policy *p, struct s5_match *m, const char *to, size_t len)
{
    struct s5_addr name;
    m->kind = to[0] == '.' ? S5_MATCH_SUFFIX : S5_MATCH_NAME;
    if (to[0] == '.')
        to++, len--;
    if (len > 1 && to[len - 1] == '.')
        len--;
    if (memchr(to, '*', len) || ends_in_number(to, len) || s5_addr_parse(&name, to, len, 0) < 0 ||
        name.kind != S5_ADDR_NAME)
        return -EINVAL;
    int64_t at = s5_policy_add_text(p, to, len);
    if (at < 0)
        return (int)at;
    m->name = (uint32_t)at;
    return 0;
}

/* Whether NAME of LEN octets is SUFFIX or below it. */
static bool is_below(const char *name, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    if (len >= n && n && ((name[len - n] ^ suffix[0]) & ~0x20)) /* most names end here */
        return false;
    return len >= n && strncasecmp(name + len - n, suffix, n) == 0 && (len == n || name[len - n - 1] == '.');
}

static bool is_for_loopback(const struct s5_policy *p, const struct s5_match *m)
{
    static const uint8_t zeros[16];
    const char *name = s5_policy_text(p, m->name);
    if (m->kind == S5_MATCH_BLOCK && m->family == S5_ADDR_IPV4)
        return (m->prefix >= 8 && m->octets[0] == 127) || (m->prefix == 32 && memcmp(m->octets, zeros, 4) == 0);
    if (m->kind == S5_MATCH_BLOCK)
        return m->prefix == 128 && memcmp(m->octets, zeros, 15) == 0 && m->octets[15] <= 1;
    return m->kind != S5_MATCH_ANY && is_below(name, strlen(name), "localhost");
}

int s5_policy_add_match(struct s5_policy *p, const char *to, size_t len)
{
    struct s5_addr addr;
    if (p->n_matches >= S5_POLICY_MATCHES)
        return -ENOSPC;
    if (len == 0)
        return -EINVAL;
    struct s5_match *m = &p->matches[p->n_matches];
    memset(m, 0, sizeof *m);
    const char *slash = memchr(to, '/', len);
    size_t host = slash ? (size_t)(slash - to) : len;
    int r;
    if (len == 1 && to[0] == '*') {
        m->kind = S5_MATCH_ANY;
        r = 0;
    } else if (to[0] != '.' && s5_addr_parse(&addr, to, host, 0) == 0 && addr.kind != S5_ADDR_NAME)
        r = parse_block(m, &addr, slash ? slash + 1 : NULL, slash ? len - host - 1 : 0,
                        addr.kind == S5_ADDR_IPV4 && memchr(to, ':', host));
    else
        r = slash ? -EINVAL : parse_name(p, m, to, len);
    if (r < 0)
        return r;
    m->loopback = is_for_loopback(p, m);
    return (int)p->n_matches++;
}

static int parse_port(const char *text, const char **ret_end)
{
    unsigned value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && at - text < 6; at++)
        value = value * 10 + (unsigned)(*at - '0');
    *ret_end = at;
    return at == text || value == 0 || value > 65535 ? -EINVAL : (int)value;
}

int s5_policy_add_ports(struct s5_policy *p, const char *ports)
{
    const char *end;
    int low = parse_port(ports, &end), high = low;
    if (low > 0 && *end == '-')
        high = parse_port(end + 1, &end);
    if (low < 0 || high < low || *end)
        return -EINVAL;
    if (p->n_ports >= S5_POLICY_PORTS)
        return -ENOSPC;
    p->ports[p->n_ports].low = (uint16_t)low;
    p->ports[p->n_ports].high = (uint16_t)high;
    return (int)p->n_ports++;
}

/* --- the decision --- */

static bool is_in_block(const struct s5_match *m, const struct s5_addr *addr)
{
    return m->family == addr->kind && s5_addr_same_prefix(m->octets, addr->octets, m->prefix);
}

static size_t get_name_len(const struct s5_addr *addr)
{
    size_t len = addr->name_len;
    return len > 1 && addr->name[len - 1] == '.' ? len - 1 : len;
}

static bool is_suffix(const char *suffix, const struct s5_addr *addr)
{
    return is_below(addr->name, get_name_len(addr), suffix);
}

static bool is_match(const struct s5_policy *p, const struct s5_match *m, const struct s5_addr *addr)
{
    if (m->kind == S5_MATCH_ANY)
        return true;
    if (addr->kind != S5_ADDR_NAME)
        return m->kind == S5_MATCH_BLOCK && is_in_block(m, addr);
    const char *name = s5_policy_text(p, m->name);
    if (m->kind == S5_MATCH_SUFFIX)
        return is_suffix(name, addr);
    return m->kind == S5_MATCH_NAME && strlen(name) == get_name_len(addr) &&
           strncasecmp(name, addr->name, get_name_len(addr)) == 0;
}

static bool is_loopback(const struct s5_addr *addr)
{
    return addr->kind == S5_ADDR_NAME ? is_suffix("localhost", addr) : s5_addr_is_loopback(addr);
}

/* The unspecified address is treated as 127.0.0.1 or ::1, so that it cannot be used to evade a rule about these. */
static bool is_loopback_match(const struct s5_policy *p, const struct s5_match *m, const struct s5_addr *addr)
{
    static const uint8_t zeros[16];
    if (!m->loopback)
        return false;
    if (is_match(p, m, addr))
        return true;
    bool v4 = addr->kind == S5_ADDR_IPV4;
    if (addr->kind == S5_ADDR_NAME || memcmp(addr->octets, zeros, v4 ? 4 : 16) != 0)
        return false;
    struct s5_addr one = {.kind = addr->kind};
    one.octets[0] = v4 ? 127 : 0;
    one.octets[v4 ? 3 : 15] = 1;
    return is_match(p, m, &one);
}

static bool has_destination(const struct s5_policy *p, const struct s5_rule *rule, const struct s5_addr *to,
                            bool loopback)
{
    if (rule->to_count == 0)
        return !loopback;
    for (unsigned i = 0; i < rule->to_count; i++) {
        const struct s5_match *m = &p->matches[rule->to_first + i];
        if (loopback ? is_loopback_match(p, m, to) : is_match(p, m, to))
            return true;
    }
    return false;
}

static bool has_port(const struct s5_policy *p, const struct s5_rule *rule, uint16_t port)
{
    for (unsigned i = 0; i < rule->ports_count; i++)
        if (port >= p->ports[rule->ports_first + i].low && port <= p->ports[rule->ports_first + i].high)
            return true;
    return rule->ports_count == 0;
}

static bool is_rule_for(const struct s5_policy *p, const struct s5_rule *rule, const struct s5_flow *flow,
                        bool loopback)
{
    uint8_t commands = rule->commands ? rule->commands : S5_CMD_CONNECT | S5_CMD_UDP;
    if (!(commands & flow->command))
        return false;
    if (rule->protocols && !(rule->protocols & flow->protocol))
        return false;
    return has_port(p, rule, flow->to->port) && has_destination(p, rule, flow->to, loopback);
}

static struct s5_route get_default_route(bool loopback, uint8_t command)
{
    if (loopback)
        return (struct s5_route){S5_DIRECT, -1, -1, S5_WHY_LOOPBACK};
    if (command == S5_CMD_BIND)
        return (struct s5_route){S5_DIRECT, -1, -1, S5_WHY_LISTENER};
    return (struct s5_route){S5_DENY, -1, -1, S5_WHY_NO_RULE};
}

struct s5_route s5_policy_decide(const struct s5_policy *p, const struct s5_flow *flow)
{
    bool loopback = is_loopback(flow->to);
    for (uint32_t i = 0; i < p->n_rules; i++) {
        const struct s5_rule *rule = &p->rules[i];
        if (!is_rule_for(p, rule, flow, loopback))
            continue;
        /* A server forwards only TCP and UDP. */
        bool via = rule->verdict == S5_VIA;
        enum s5_verdict verdict = via && !flow->protocol ? S5_DENY : (enum s5_verdict)rule->verdict;
        return (struct s5_route){verdict, verdict == S5_VIA ? p->vias[rule->via_first] : -1, (int)i, S5_WHY_RULE};
    }
    return get_default_route(loopback, flow->command);
}

/* Whether RULE covers every flow to its destinations, so that no later rule can decide about one. */
static bool is_rule_for_all(const struct s5_rule *rule)
{
    const uint8_t both = S5_PROTO_TCP | S5_PROTO_UDP, to_others = S5_CMD_CONNECT | S5_CMD_UDP;
    return !rule->ports_count && (!rule->protocols || (rule->protocols & both) == both) &&
           (!rule->commands || (rule->commands & to_others) == to_others);
}

bool s5_policy_complete(const struct s5_policy *p, struct s5_addr *name)
{
    size_t len = name->name_len, more = strlen(p->search);
    if (name->kind != S5_ADDR_NAME || p->resolve_local || !more || len + 1 + more > S5_ADDR_NAME_MAX ||
        memchr(name->name, '.', len) || is_suffix("localhost", name))
        return false;
    name->name[len] = '.';
    memcpy(name->name + len + 1, p->search, more + 1);
    name->name_len = (uint8_t)(len + 1 + more);
    return true;
}

struct s5_route s5_policy_decide_name(const struct s5_policy *p, const struct s5_addr *name)
{
    bool loopback = is_loopback(name), any = false;
    struct s5_route first, none = get_default_route(loopback, S5_CMD_CONNECT);
    for (uint32_t i = 0; i <= p->n_rules; i++) {
        const struct s5_rule *rule = i < p->n_rules ? &p->rules[i] : NULL;
        if (rule && ((rule->commands && !(rule->commands & (S5_CMD_CONNECT | S5_CMD_UDP))) ||
                     !has_destination(p, rule, name, loopback)))
            continue;
        struct s5_route here = none;
        if (rule)
            here = (struct s5_route){(enum s5_verdict)rule->verdict,
                                     rule->verdict == S5_VIA ? p->vias[rule->via_first] : -1, (int)i, S5_WHY_RULE};
        if (!any)
            first = here;
        if (here.verdict != first.verdict)
            first.verdict = S5_VIA; /* depends on the flow */
        any = true;
        if (first.verdict == S5_VIA || !rule || is_rule_for_all(rule))
            break;
    }
    return first;
}

struct s5_route s5_policy_listen(const struct s5_policy *p, const struct s5_addr *at, uint32_t last_peer)
{
    struct s5_flow flow = {at, S5_PROTO_TCP, S5_CMD_BIND};
    struct s5_route route = s5_policy_decide(p, &flow);
    if (route.why != S5_WHY_LISTENER || at->port != 0 || last_peer == 0 || last_peer > p->n_servers)
        return route;
    return (struct s5_route){S5_VIA, (int)last_peer - 1, -1, S5_WHY_LAST_PEER};
}

enum s5_engine_choice s5_policy_engine(const struct s5_policy *p, const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    for (uint32_t i = 0; i < p->n_programs; i++)
        if (strcmp(s5_policy_text(p, p->programs[i].name), name) == 0)
            return (enum s5_engine_choice)p->programs[i].engine;
    return (enum s5_engine_choice)p->engine;
}

unsigned s5_policy_reach_options(const struct s5_policy *p, const char *ret[static S5_POLICY_REACH_OPTIONS])
{
    unsigned n = 0;
    if (p->strict)
        ret[n++] = "--strict";
    if (p->no_loopback_out)
        ret[n++] = "--no-loopback-out";
    if (p->no_loopback_in)
        ret[n++] = "--no-loopback-in";
    if (p->hide_dbus)
        ret[n++] = "--hide-dbus";
    ret[n++] = "--"; /* a file may be named like an option */
    return n;
}
