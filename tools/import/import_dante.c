/* Reads socks.conf of Dante, the file for clients: statements "keyword: values", and blocks "route { ... }" of
 * statements. The first route that matches applies, as in socks5.conf. A route that cannot be converted denies what it
 * may have covered, because a later route might make that direct.
 *
 * If the server of a route fails, Dante uses the next route that matches. Routes that match the same become one rule
 * with several servers. So the rules are written at the end. */
#include "import_dante.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUES_MAX 16
#define LIST_MAX   (IMPORT_SERVERS * 16) /* titles of servers, in quotes */

/* The route that is being read. */
struct route {
    int line;
    char to[IMPORT_TO_MAX], ports[64];
    char host[256];
    uint16_t port;
    char protocol[32], command[48];
    bool named, none, gssapi; /* methods; if none is set, the route has no statement for them */
    const char *broken;       /* the part that cannot be converted, or NULL */
};

/* A rule, which routes that follow may add servers to. */
struct pending {
    struct route route; /* what it matches */
    const char *via;
    unsigned servers; /* 0: VIA is not a server */
    char list[LIST_MAX];
};

struct dante {
    struct import_sink *sink;
    const char *at;
    int line;
    char word[512]; /* the token; "" at the end */
    bool keyword;   /* a colon followed it */
    struct {
        int line, n;
        char key[64];
        char values[VALUES_MAX][256];
    } statement;
    struct pending *rules; /* IMPORT_RULES of them */
    unsigned n_rules;
};

/* ---- Tokens ---- */

static void skip_blank(struct dante *d)
{
    for (; *d->at; d->at++) {
        if (*d->at == '#')
            d->at += strcspn(d->at, "\n");
        if (*d->at == '\n')
            d->line++;
        if (!*d->at || !isspace((unsigned char)*d->at))
            return;
    }
}

/* Returns the length of the keyword at AT, or 0 if there is none. A keyword has letters, dots and dashes, and a colon
 * follows it. Not all of it may be hexadecimal digits, or an IPv6 address could be a keyword. */
static size_t keyword_len(const char *at)
{
    size_t len = 0, digits = 0;
    for (; isalpha((unsigned char)at[len]) || at[len] == '.' || at[len] == '-'; len++)
        digits += isxdigit((unsigned char)at[len]) != 0;
    return len > 0 && len < 64 && digits < len && at[len] == ':' ? len : 0;
}

static void read_token(struct dante *d)
{
    skip_blank(d);
    size_t len = keyword_len(d->at);
    d->keyword = len > 0;
    if (len == 0)
        len = *d->at && strchr("{}=", *d->at) ? 1 : strcspn(d->at, " \t\r\n\v\f{}=#");
    size_t keep = len < sizeof(d->word) - 1 ? len : sizeof(d->word) - 1;
    memcpy(d->word, d->at, keep);
    d->word[keep] = '\0';
    d->at += len + d->keyword;
}

/* Reads the values of the keyword that is the current token: up to the next keyword or brace, and at most up to the end
 * of the line if ONE_LINE is true. */
static void read_values(struct dante *d, bool one_line)
{
    memset(&d->statement, 0, sizeof(d->statement));
    d->statement.line = d->line;
    snprintf(d->statement.key, sizeof(d->statement.key), "%.63s", d->word);
    for (read_token(d); d->word[0] && !d->keyword && !strchr("{}", d->word[0]); read_token(d)) {
        if (one_line && d->line != d->statement.line)
            return;
        int n = d->statement.n;
        if (n < VALUES_MAX && strlen(d->word) < sizeof(d->statement.values[0]))
            strcpy(d->statement.values[d->statement.n++], d->word);
    }
}

static bool is_statement(const struct dante *d, const char *key)
{
    return strcasecmp(d->statement.key, key) == 0;
}

static const char *get_value(const struct dante *d, int index)
{
    return index < d->statement.n ? d->statement.values[index] : "";
}

/* ---- A route ---- */

/* Converts "port = 80" or "port gt 1023" from value INDEX on to RET. Returns false if it is not understood. */
static bool read_ports(const struct dante *d, int index, char ret[64])
{
    if (index >= d->statement.n)
        return true;
    if (strcasecmp(get_value(d, index), "port") != 0)
        return false;
    const char *how = get_value(d, index + 1), *number = get_value(d, index + 2);
    char text[256];
    bool not_equal = strcmp(how, "!") == 0 || strcasecmp(how, "ne") == 0;
    if (strcmp(how, "!") == 0)
        number = get_value(d, index + 3);
    if (isdigit((unsigned char)*how)) {
        number = how;
        how = "=";
    }
    snprintf(text, sizeof(text), "%s", number);
    char *dash = strchr(text, '-');
    if (dash)
        *dash++ = '\0';
    long low = import_number(text, 1, 65535), high = dash ? import_number(dash, 1, 65535) : low;
    if (low < 0 || high < low)
        return false;
    if (not_equal && low > 1 && low < 65535)
        return snprintf(ret, 64, "\"1-%ld\", \"%ld-65535\"", low - 1, low + 1) > 0;
    if (strcmp(how, "=") == 0 || strcasecmp(how, "eq") == 0)
        return snprintf(ret, 64, "\"%ld-%ld\"", low, high) > 0;
    if (strcasecmp(how, "gt") == 0 || strcasecmp(how, "ge") == 0)
        low += strcasecmp(how, "gt") == 0, high = 65535;
    else if (strcasecmp(how, "lt") == 0 || strcasecmp(how, "le") == 0)
        high = low - (strcasecmp(how, "lt") == 0), low = 1;
    else
        return false;
    return high >= low && snprintf(ret, 64, "\"%ld-%ld\"", low, high) > 0;
}

static bool is_any_address(const char *address)
{
    return strcmp(address, "0/0") == 0 || strcmp(address, "0.0.0.0/0") == 0 || strcmp(address, "::/0") == 0 ||
           strcasecmp(address, "any") == 0;
}

static void read_to(const struct dante *d, struct route *r)
{
    char address[256];
    snprintf(address, sizeof(address), "%s", get_value(d, 0));
    if (!read_ports(d, 1, r->ports))
        r->broken = "the ports of its \"to\"";
    if (is_any_address(address))
        return;
    char *mask = strchr(address, '/');
    if (mask)
        *mask++ = '\0';
    if (!import_network(r->to, sizeof(r->to), address, mask) && (mask || !import_name(r->to, sizeof(r->to), address)))
        r->broken = "its \"to\"";
}

static void read_via(const struct dante *d, struct route *r)
{
    char ports[64] = "";
    unsigned port = 1080;
    if (!read_ports(d, 1, ports) || (ports[0] && sscanf(ports, "\"%u-", &port) != 1))
        r->broken = "the port of its \"via\"";
    snprintf(r->host, sizeof(r->host), "%s", get_value(d, 0));
    r->port = (uint16_t)port;
}

/* Lists in RET the values of the statement that are among WORDS: pairs of the word in the file and the word in
 * socks5.conf, NULL after the last. Returns false if there is no value, or one that is not among them. */
static bool read_list(const struct dante *d, const char *const words[], char *ret, size_t size)
{
    bool good = d->statement.n > 0;
    ret[0] = '\0';
    for (int i = 0; i < d->statement.n; i++) {
        const char *const *at = words;
        while (*at && strcasecmp(*at, get_value(d, i)) != 0)
            at += 2;
        good &= *at != NULL;
        size_t used = strlen(ret);
        if (*at && at[1] && !strstr(ret, at[1]))
            snprintf(ret + used, size - used, "%s\"%s\"", used ? ", " : "", at[1]);
    }
    return good;
}

static void read_methods(const struct dante *d, struct route *r)
{
    for (int i = 0; i < d->statement.n; i++) {
        const char *method = get_value(d, i);
        if (strcasecmp(method, "none") == 0)
            r->none = true;
        else if (strcasecmp(method, "username") == 0)
            r->named = true;
        else if (strcasecmp(method, "gssapi") == 0)
            r->gssapi = true;
        else
            import_note(d->sink, d->statement.line, method, "no such method here");
    }
}

static bool has_value(const struct dante *d, const char *word)
{
    for (int i = 0; i < d->statement.n; i++) {
        if (strcasecmp(get_value(d, i), word) == 0)
            return true;
    }
    return false;
}

static void read_statement(const struct dante *d, struct route *r)
{
    static const char *const protocols[] = {"tcp", "tcp", "udp", "udp", NULL};
    static const char *const commands[] = {"connect", "connect",  "bind", "bind", "udpassociate", "udp", "bindreply",
                                           "bind",    "udpreply", "udp",  NULL};
    if (is_statement(d, "from")) {
        if (!is_any_address(get_value(d, 0)) || d->statement.n > 1)
            r->broken = "its \"from\" (rules do not match the source)";
    } else if (is_statement(d, "to")) {
        read_to(d, r);
    } else if (is_statement(d, "via") || is_statement(d, "gateway")) {
        read_via(d, r);
    } else if (is_statement(d, "protocol")) {
        if (!read_list(d, protocols, r->protocol, sizeof(r->protocol)))
            r->protocol[0] = '\0', r->broken = "its \"protocol\"";
    } else if (is_statement(d, "command")) {
        if (!read_list(d, commands, r->command, sizeof(r->command)))
            r->command[0] = '\0', r->broken = "its \"command\"";
    } else if (is_statement(d, "method") || is_statement(d, "socksmethod")) {
        read_methods(d, r);
    } else if (is_statement(d, "proxyprotocol")) {
        if (!has_value(d, "socks_v5"))
            r->broken = "a server that is not a SOCKS5 server";
    } else if (!is_statement(d, "extension") || !has_value(d, "bind")) {
        import_note(d->sink, d->statement.line, d->statement.key, "not recognized, left out");
    }
}

static const char *add_server(struct dante *d, const struct route *r)
{
    struct import_server server = {.port = r->port};
    strcpy(server.host, r->host);
    if (r->gssapi)
        server.methods = r->none ? "\"gssapi\", \"none\"" : "\"gssapi\"";
    if (r->gssapi && r->named)
        import_note(d->sink, r->line, "username",
                    "offered where the server has methods, username and password of its own");
    else if (r->named)
        import_remark(d->sink,
                      "line %d: username and password come from SOCKS5_USER and "
                      "SOCKS5_PASSWD, or \"username\" and \"password-file\" of the server",
                      r->line);
    else if (r->none && !r->gssapi)
        server.methods = "\"none\"";
    return import_server(d->sink, &server);
}

static const char *get_part(const char *text)
{
    return text[0] ? text : NULL;
}

static void write_rules(const struct dante *d)
{
    for (unsigned i = 0; i < d->n_rules; i++) {
        const struct pending *pending = &d->rules[i];
        const struct route *r = &pending->route;
        struct import_rule rule = {
            .title = "route",
            .to = get_part(r->to),
            .ports = get_part(r->ports),
            .protocol = get_part(r->protocol),
            .command = get_part(r->command),
            .via = pending->via,
            .list = pending->servers > 1 ? pending->list : NULL,
        };
        import_rule(d->sink, &rule);
    }
}

static bool is_same_match(const struct route *a, const struct route *b)
{
    return strcmp(a->to, b->to) == 0 && strcmp(a->ports, b->ports) == 0 && strcmp(a->protocol, b->protocol) == 0 &&
           strcmp(a->command, b->command) == 0;
}

/* Adds the server TITLE to the pending rule, unless the rule has it. */
static void add_to_list(struct pending *pending, const char *title)
{
    char quoted[32];
    size_t used = strlen(pending->list);
    snprintf(quoted, sizeof(quoted), "\"%s\"", title);
    if (strstr(pending->list, quoted) || used + strlen(quoted) + 2 >= sizeof(pending->list))
        return;
    snprintf(pending->list + used, sizeof(pending->list) - used, "%s%s", used ? ", " : "", quoted);
    pending->servers++;
}

/* Adds R to the rule that matches the same and has a server. SERVER: that of R; NULL: R is direct. Returns false if
 * there is no such rule. */
static bool add_to_rule(struct dante *d, const struct route *r, const char *server)
{
    struct pending *pending = NULL;
    for (unsigned i = 0; i < d->n_rules && !pending; i++)
        if (is_same_match(&d->rules[i].route, r))
            pending = &d->rules[i];
    if (!pending || !pending->servers)
        return false;
    if (server) {
        import_remark(d->sink, "line %d: one more server for what line %d matches", r->line, pending->route.line);
        add_to_list(pending, server);
    } else
        import_note(d->sink, r->line, "route", "direct where the servers for line %d fail: connections fail here",
                    pending->route.line);
    return true;
}

static void end_route(struct dante *d, struct route *r)
{
    const char *via = "deny", *server = NULL;
    bool direct = strcasecmp(r->host, "direct") == 0;
    if (!r->broken && direct)
        via = "direct";
    else if (!r->broken && (server = add_server(d, r)))
        via = server;
    else if (!r->broken)
        r->broken = "its \"via\"";
    if (r->broken)
        import_note(d->sink, r->line, "route", "%s: what it may have matched is denied", r->broken);
    if (!r->broken && add_to_rule(d, r, server))
        return;
    if (d->n_rules == IMPORT_RULES) {
        d->sink->failed = true;
        return;
    }
    struct pending *pending = &d->rules[d->n_rules++];
    *pending = (struct pending){.route = *r, .via = via};
    if (server)
        add_to_list(pending, server);
}

/* ---- The file ---- */

static void read_route(struct dante *d)
{
    struct route r = {.line = d->line};
    read_token(d);
    while (d->word[0] && d->word[0] != '}') {
        if (d->keyword) {
            read_values(d, false);
            read_statement(d, &r);
        } else {
            r.broken = "a word in it that is not recognized";
            read_token(d);
        }
    }
    read_token(d);
    end_route(d, &r);
}

static void skip_block(struct dante *d)
{
    import_note(d->sink, d->line, "a block that is not a route", "left out");
    while (d->word[0] && d->word[0] != '}')
        read_token(d);
    read_token(d);
}

static void read_top_statement(struct dante *d)
{
    read_values(d, true);
    if (is_statement(d, "resolveprotocol"))
        d->sink->resolve_local = strcasecmp(get_value(d, 0), "fake") != 0;
    else if (is_statement(d, "logoutput") || is_statement(d, "errorlog") || is_statement(d, "debug"))
        import_remark(d->sink, "%s: see \"log\" in socks5.conf(5)", d->statement.key);
    else if (is_statement(d, "timeout.connect") || is_statement(d, "connecttimeout"))
        import_remark(d->sink, "%s: see \"timeout\" of a server", d->statement.key);
    else
        import_note(d->sink, d->statement.line, d->statement.key, "not recognized, left out");
}

void import_dante(struct import_sink *sink, const char *text)
{
    struct dante d = {.sink = sink, .at = text, .line = 1, .rules = calloc(IMPORT_RULES, sizeof(*d.rules))};
    bool route = false;
    if (!d.rules) {
        sink->failed = true;
        return;
    }
    sink->resolve_local = true; /* Dante's default */
    read_token(&d);
    while (d.word[0]) {
        if (d.keyword) {
            read_top_statement(&d);
            route = false;
        } else if (d.word[0] == '{' && route) {
            read_route(&d);
            route = false;
        } else if (d.word[0] == '{') {
            skip_block(&d);
        } else {
            route = strcasecmp(d.word, "route") == 0;
            read_token(&d);
        }
    }
    write_rules(&d);
    free(d.rules);
    import_remark(sink, "What no rule matches is denied here; Dante connects directly.");
    import_remark(sink, "Listeners are local where no rule names \"bind\".");
}
