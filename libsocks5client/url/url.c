/* Parses socks5[h]://[user[:password]@]host[:port], the form that ALL_PROXY has. The parser finds the scheme first,
 * then the last '@' before the path, then the port after the host. */
#include "url.h"
#include "credentials.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

#define USERINFO_MAX (3 * 255) /* 255 octets, all percent-encoded */

struct parts {
    bool local; /* socks5://: host names are resolved locally */
    bool has_user, has_password;
    char user[256], password[256]; /* decoded */
    const char *host;              /* without brackets; HOST_LEN octets */
    size_t host_len;
    uint16_t port;
    char path[108]; /* of a UNIX socket, decoded, as in sun_path; or empty */
};

/* Returns the value of the hexadecimal digit C, or -1. */
static int parse_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes the percent-encoding of TEXT into RET, which has SIZE octets, including the NUL. Returns 0 or -EINVAL. */
static int decode_percent(const char *text, size_t len, char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            if (i + 2 >= len || parse_hex_digit(text[i + 1]) < 0 || parse_hex_digit(text[i + 2]) < 0)
                return -EINVAL;
            c = parse_hex_digit(text[i + 1]) << 4 | parse_hex_digit(text[i + 2]);
            i += 2;
        }
        if (n + 1 == size || c == 0)
            return -EINVAL;
        ret[n++] = (char)c;
    }
    ret[n] = 0;
    return 0;
}

static int parse_userinfo(struct parts *u, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t user = colon ? (size_t)(colon - text) : len;
    u->has_user = true;
    u->has_password = colon != NULL;
    if (len > 2 * USERINFO_MAX + 1 || decode_percent(text, user, u->user, sizeof u->user) < 0)
        return -EINVAL;
    return colon ? decode_percent(colon + 1, len - user - 1, u->password, sizeof u->password) : 0;
}

static int parse_port(const char *text, size_t len, uint16_t *ret)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value == 0 || value > 65535)
        return -EINVAL;
    *ret = (uint16_t)value;
    return 0;
}

static const char *parse_host(struct parts *u, const char *text, size_t len)
{
    const char *end = text + len, *colon;
    u->host = text;
    if (len && *text == '[') {
        const char *close = memchr(text, ']', len);
        if (!close)
            return "\"[\" without \"]\"";
        u->host = text + 1;
        u->host_len = (size_t)(close - text) - 1;
        colon = close + 1 < end ? close + 1 : NULL;
        if (colon && *colon != ':')
            return "no port after \"]\"";
        if (u->host_len && !memchr(u->host, ':', u->host_len))
            return "brackets are for an IPv6 address";
    } else {
        colon = memchr(text, ':', len);
        u->host_len = colon ? (size_t)(colon - text) : len;
    }
    if (colon && parse_port(colon + 1, (size_t)(end - colon) - 1, &u->port) < 0)
        return "port is not a number from 1 to 65535";
    return NULL;
}

static const char *parse_path(struct parts *u, const char *host, const char *path)
{
    if (path - host != 9 || strncasecmp(host, "localhost", 9) != 0)
        return "a path names a UNIX socket and requires the host \"localhost\"";
    if (path[strcspn(path, "?#")])
        return "nothing may follow the path";
    if (decode_percent(path, strlen(path), u->path, sizeof u->path) < 0)
        return "path has invalid percent-encoding, or is longer than 107 octets";
    return NULL;
}

/* Returns NULL, or the fault. */
static const char *parse_url(struct parts *u, const char *url)
{
    const char *rest = strstr(url, "://");
    *u = (struct parts){.port = 1080};
    if (!rest)
        rest = url;
    else if (strncasecmp(url, "socks5://", 9) == 0)
        u->local = true, rest += 3;
    else if (strncasecmp(url, "socks5h://", 10) == 0)
        rest += 3;
    else
        return "scheme not supported: use socks5:// or socks5h://";
    size_t len = strcspn(rest, "/?#");
    const char *path = rest[len] == '/' && rest[len + 1] ? rest + len : NULL, *at = NULL;
    if (rest[len] == '?' || rest[len] == '#')
        return "nothing may follow the port";
    for (size_t i = 0; i < len; i++)
        if (rest[i] == '@')
            at = rest + i;
    if (at && parse_userinfo(u, rest, (size_t)(at - rest)) < 0)
        return "user or password has invalid percent-encoding, or is longer than 255 octets";
    const char *host = at ? at + 1 : rest;
    const char *wrong = parse_host(u, host, len - (size_t)(host - rest));
    if (wrong)
        return wrong;
    if (u->host_len == 0)
        return "no host";
    return path ? parse_path(u, host, path) : NULL;
}

static int set_host(struct s5_policy *p, struct s5_server *server, const struct parts *u)
{
    struct s5_addr addr;
    bool is_path = u->path[0] != 0;
    const char *host = is_path ? u->path : u->host;
    size_t len = is_path ? strlen(u->path) : u->host_len;
    if (!is_path && s5_addr_parse(&addr, host, len, u->port) < 0)
        return -EINVAL;
    int64_t text = s5_policy_add_text(p, host, len);
    if (text < 0)
        return (int)text;
    server->host = (uint32_t)text;
    server->port = u->port;
    server->is_path = is_path;
    if (is_path || addr.kind == S5_ADDR_NAME)
        return 0;
    server->addrs[0].kind = addr.kind;
    memcpy(server->addrs[0].octets, addr.octets, sizeof server->addrs[0].octets);
    server->n_addrs = 1;
    return 0;
}

static int64_t add_rule(struct s5_policy *p, const char *name, enum s5_verdict verdict)
{
    int64_t text = s5_policy_add_text(p, name, strlen(name));
    if (text < 0 || p->n_rules >= S5_POLICY_RULES)
        return -ENOSPC;
    struct s5_rule *rule = &p->rules[p->n_rules];
    memset(rule, 0, sizeof *rule);
    rule->name = (uint32_t)text;
    rule->verdict = (uint8_t)verdict;
    rule->to_first = (uint16_t)p->n_matches;
    rule->ports_first = (uint16_t)p->n_ports;
    return p->n_rules++;
}

/* Returns the colon before the port of a NO_PROXY entry, or NULL. */
static const char *find_port_colon(const char *entry, size_t len)
{
    const char *end = entry + len, *colon = memchr(entry, ':', len);
    if (entry[0] == '[') {
        const char *close = memchr(entry, ']', len);
        return close && close + 1 < end && close[1] == ':' ? close + 1 : NULL;
    }
    return colon && !memchr(colon + 1, ':', (size_t)(end - colon) - 1) ? colon : NULL;
}

static int add_port(struct s5_policy *p, struct s5_rule *rule, const char *text, size_t len)
{
    char port[16];
    if (len >= sizeof port)
        return -EINVAL;
    memcpy(port, text, len);
    port[len] = 0;
    rule->ports_count = 1;
    return s5_policy_add_ports(p, port);
}

/* Adds either the entries without a port to the rule SHARED or, where SHARED is NULL, a rule for each entry with a
 * port. */
static int add_entries(struct s5_policy *p, const char *list, struct s5_rule *shared, struct s5_fault *ret_fault)
{
    static const char between[] = ", \t";
    for (const char *at = list + strspn(list, between); *at; at += strspn(at, between)) {
        struct s5_rule *rule = shared;
        size_t len = strcspn(at, between), host = len;
        const char *entry = at, *colon = find_port_colon(at, len);
        int r = 0;
        at += len;
        if (!colon == !shared)
            continue;
        if (colon) {
            int64_t own = add_rule(p, "NO_PROXY", S5_DIRECT);
            rule = own < 0 ? NULL : &p->rules[own];
            host = (size_t)(colon - entry);
            r = rule ? add_port(p, rule, colon + 1, len - host - 1) : -ENOSPC;
        }
        if (r >= 0)
            r = s5_policy_add_match(p, entry, host);
        if (r == -ENOSPC)
            return s5_fault_set(ret_fault, r, "NO_PROXY: too many entries");
        if (r < 0)
            return s5_fault_set(ret_fault, r, "NO_PROXY: \"%.*s\" is not a name, address or block", (int)len, entry);
        rule->to_count++;
    }
    return 0;
}

/* Adds rules for NO_PROXY. An entry has the form of "to" in a rule, and may end with ":port". All entries have the
 * same verdict, so their order does not matter. A rule without destinations matches everything, so an empty rule is
 * removed. */
static int add_exceptions(struct s5_policy *p, const char *list, struct s5_fault *ret_fault)
{
    int64_t at = add_rule(p, "NO_PROXY", S5_DIRECT);
    if (at < 0)
        return s5_fault_set(ret_fault, -ENOSPC, "NO_PROXY: too many entries");
    int r = add_entries(p, list, &p->rules[at], ret_fault);
    if (r == 0 && p->rules[at].to_count == 0)
        p->n_rules--;
    return r < 0 ? r : add_entries(p, list, NULL, ret_fault);
}

/* Stores HOST:PORT of U, or its path, in RET. */
static void format_name(const struct parts *u, char ret[static 300])
{
    if (u->path[0])
        s5_format(ret, 300, "%s", u->path);
    else
        s5_format(ret, 300, memchr(u->host, ':', u->host_len) ? "[%.*s]:%u" : "%.*s:%u", (int)u->host_len, u->host,
                  u->port);
}

/* Adds the server of URL, called NAME or, if that is NULL, HOST:PORT. Returns its index, or -errno with RET_FAULT
 * set. */
static int add_server(struct s5_policy *p, const char *url, const char *name, const char *where,
                      const struct s5_environment *env, struct s5_fault *ret_fault)
{
    char own_name[300];
    struct parts u;
    const char *wrong = parse_url(&u, url);
    int r = wrong ? s5_fault_set(ret_fault, -EINVAL, "%s: %s", where, wrong) : 0;
    if (r == 0 && !name)
        format_name(&u, own_name);
    int at = r < 0 ? r : s5_policy_add_server(p, name ? name : own_name);
    if (at >= 0) {
        r = set_host(p, &p->servers[at], &u);
        if (r < 0)
            r = s5_fault_set(ret_fault, r, "%s: host is not a name or address", where);
    }
    if (at >= 0 && r == 0)
        r = s5_credentials_set(&p->servers[at], u.has_user ? u.user : NULL, u.has_password ? u.password : NULL, env,
                               where, ret_fault);
    if (r == 0 && at > 0 && p->resolve_local != u.local)
        r = s5_fault_set(ret_fault, -EINVAL, "%s: socks5:// and socks5h:// exclude each other", where);
    p->resolve_local = u.local;
    explicit_bzero(&u, sizeof u);
    return r < 0 ? r : at;
}

/* Adds the servers of URLS, which are separated by commas, and a chain of them. Its name is theirs. Returns its index,
 * or -errno with RET_FAULT set. */
static int add_chain(struct s5_policy *p, const char *urls, const char *where, const struct s5_environment *env,
                     struct s5_fault *ret_fault)
{
    char url[2 * USERINFO_MAX + 512], name[1024] = "";
    unsigned first = p->n_servers;
    size_t at = 0;
    int r = 0;
    const char *end;
    do {
        end = urls + strcspn(urls, ",");
        bool fits = (size_t)(end - urls) < sizeof url;
        s5_format(url, sizeof url, "%.*s", fits ? (int)(end - urls) : 0, urls);
        r = fits ? add_server(p, url, NULL, where, env, ret_fault)
                 : s5_fault_set(ret_fault, -EINVAL, "%s: URL is too long", where);
        if (r >= 0)
            at += s5_format(name + at, sizeof name - at, at ? ",%s" : "%s", s5_policy_text(p, p->servers[r].name));
        urls = end + 1;
    } while (r >= 0 && *end == ',');
    explicit_bzero(url, sizeof url);
    unsigned n = p->n_servers - first;
    if (r < 0)
        return r;
    int chain = n > S5_CHAIN_HOPS ? -ENOSPC : s5_policy_add_server(p, name);
    for (unsigned i = 0; chain >= 0 && i < n; i++)
        s5_policy_add_hop(p, (unsigned)chain, first + i);
    if (chain < 0)
        return s5_fault_set(ret_fault, chain, "%s: too many servers", where);
    p->servers[chain].timeout = 0;
    p->servers[chain].chain_length = 1;
    return chain;
}

int s5_url_load_list(struct s5_policy *p, const char *const *urls, const char *where, const struct s5_environment *env,
                     struct s5_fault *ret_fault)
{
    uint8_t vias[S5_POLICY_SERVERS];
    unsigned n = 0;
    int r = 0;
    for (; r >= 0 && urls[n]; n++) {
        bool chain = strchr(urls[n], ',') != NULL;
        if (chain)
            r = add_chain(p, urls[n], where, env, ret_fault);
        else
            r = add_server(p, urls[n], urls[1] ? NULL : "proxy", where, env, ret_fault);
        if (r >= 0 && n < S5_POLICY_SERVERS)
            vias[n] = (uint8_t)r;
    }
    if (r >= 0)
        r = env->no_proxy ? add_exceptions(p, env->no_proxy, ret_fault) : 0;
    int64_t rule = r < 0 ? 0 : add_rule(p, "proxy", S5_VIA);
    for (unsigned i = 0; r >= 0 && rule >= 0 && i < n && i < S5_POLICY_SERVERS; i++)
        if (s5_policy_add_via(p, (unsigned)rule, vias[i]) < 0)
            rule = -ENOSPC;
    return rule < 0 ? s5_fault_set(ret_fault, -ENOSPC, "%s: too many rules", where) : r;
}

int s5_url_load(struct s5_policy *p, const char *url, const char *where, const struct s5_environment *env,
                struct s5_fault *ret_fault)
{
    const char *const urls[] = {url, NULL};
    return s5_url_load_list(p, urls, where, env, ret_fault);
}
