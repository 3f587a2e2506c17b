/* Reads proxychains.conf: directives, then a list of proxies. Every connection uses a chain of them. A list of one
 * proxy becomes a server, a longer one a chain of the same mode. If a proxy of the list cannot be used, everything is
 * denied: without it the others would see, and show, what the chain was to hide. */
#include "import_proxychains.h"
#include "policy.h"

#include <string.h>

struct chain {
    struct import_sink *sink;
    struct import_lines lines;
    const char *kind;  /* "strict", "dynamic", "random", "round_robin" */
    long length;       /* length of a random or round-robin chain; -1: not valid */
    unsigned hops;     /* number of entries of any type */
    unsigned n_titles; /* number of those that can be used */
    const char *titles[IMPORT_SERVERS];
    bool remote_names;
};

static void note_unknown(struct chain *c)
{
    import_note(c->sink, c->lines.line, c->lines.words[0], "not recognized, left out");
}

/* Splits WORD, such as "10.0.0.0/8", "10.0.0.0:80/255.0.0.0" or "[::1]:80/128", in place: WORD becomes the address.
 * RET_PORT and RET_MASK are NULL if there is none. Returns false if it is not valid. */
static bool cut_network(char *word, char **ret_port, char **ret_mask)
{
    *ret_mask = strchr(word, '/');
    if (*ret_mask)
        *(*ret_mask)++ = '\0';
    char *end = word;
    if (*word == '[') {
        end = strchr(word, ']');
        if (!end)
            return false;
        memmove(word, word + 1, (size_t)(end - word) - 1);
        end[-1] = '\0';
        end++;
    }
    *ret_port = *end && (end != word || strchr(word, ':') == strrchr(word, ':')) ? strchr(end, ':') : NULL;
    if (*ret_port)
        *(*ret_port)++ = '\0';
    return true;
}

static void add_localnet(struct chain *c)
{
    char word[256], to[64], ports[16], *port, *mask;
    if (c->lines.n_words != 2 || strlen(c->lines.words[1]) >= sizeof(word)) {
        note_unknown(c);
        return;
    }
    strcpy(word, c->lines.words[1]);
    if (!cut_network(word, &port, &mask) || !import_network(to, sizeof(to), word, mask) ||
        (port && import_number(port, 0, 65535) < 0)) {
        note_unknown(c);
        return;
    }
    long number = port ? import_number(port, 0, 65535) : 0;
    snprintf(ports, sizeof(ports), "\"%ld\"", number);
    import_rule(c->sink, &(struct import_rule){
                             .title = "localnet", .to = to, .ports = number > 0 ? ports : NULL, .via = "direct"});
}

static void read_directive(struct chain *c)
{
    const char *word = c->lines.words[0];
    const char *number = c->lines.words[c->lines.n_words - 1];
    size_t len = strlen(word);
    if (len > 6 && strcmp(word + len - 6, "_chain") == 0)
        c->kind = word[0] == 's' ? "strict" : word[0] == 'd' ? "dynamic" : word[1] == 'a' ? "random" : "round-robin";
    else if (strncmp(word, "chain_len", 9) == 0) {
        const char *equals = strchr(number, '=');
        c->length = import_number(equals ? equals + 1 : number, 1, 1000);
    } else if (strcmp(word, "proxy_dns") == 0 || strcmp(word, "proxy_dns_old") == 0 ||
               strcmp(word, "proxy_dns_daemon") == 0)
        c->remote_names = true;
    else if (strcmp(word, "localnet") == 0)
        add_localnet(c);
    else if (strcmp(word, "tcp_read_time_out") == 0 || strcmp(word, "tcp_connect_time_out") == 0)
        import_remark(c->sink, "%s: a server's \"timeout\" counts both; it is 30 seconds here", word);
    else if (strcmp(word, "remote_dns_subnet") == 0)
        import_remark(c->sink, "remote_dns_subnet: fake addresses have a range of their own");
    else if (strcmp(word, "dnat") == 0)
        import_note(c->sink, c->lines.line, word, "destinations are not rewritten");
    else if (strcmp(word, "quiet_mode") != 0)
        note_unknown(c);
}

static void add_proxy(struct chain *c)
{
    const struct import_lines *l = &c->lines;
    c->hops++;
    if (strcmp(l->words[0], "socks5") != 0) {
        import_note(c->sink, l->line, l->words[0], "only SOCKS5 servers are supported; left out");
        return;
    }
    struct import_server server = {.port = 0};
    long port = l->n_words >= 3 ? import_number(l->words[2], 1, 65535) : -1;
    bool named = l->n_words == 5;
    if (port < 0 || (l->n_words != 3 && !named) || l->too_long || strlen(l->words[1]) > 255 ||
        (named && (strlen(l->words[3]) > 255 || strlen(l->words[4]) > 255))) {
        note_unknown(c);
        return;
    }
    strcpy(server.host, l->words[1]);
    server.port = (uint16_t)port;
    if (named) {
        strcpy(server.username, l->words[3]);
        strcpy(server.password, l->words[4]);
    }
    const char *title = import_server(c->sink, &server);
    if (!title)
        note_unknown(c);
    if (title && c->n_titles < IMPORT_SERVERS)
        c->titles[c->n_titles++] = title;
    explicit_bzero(&server, sizeof(server));
}

/* Returns what is wrong with the chain, or NULL. */
static const char *find_fault(const struct chain *c)
{
    bool some = c->kind[0] == 'r';
    if (c->n_titles < c->hops)
        return "a chain without one of its servers would show what it hides: everything is denied";
    if (some && (c->length < 1 || (unsigned long)c->length > c->hops))
        return "chain_len is larger than the list: no connection is possible";
    if ((some ? (unsigned long)c->length : c->kind[0] == 's' ? c->hops : 1) > S5_CHAIN_HOPS)
        return "more servers than a connection can go through: everything is denied";
    return NULL;
}

static void write_chain(const struct chain *c)
{
    FILE *to = c->sink->servers;
    fputs("chain \"list\" {\n  servers = {", to);
    for (unsigned i = 0; i < c->n_titles; i++)
        fprintf(to, "%s\"%s\"", i > 0 ? ", " : "", c->titles[i]);
    fprintf(to, "}\n  mode    = \"%s\"\n", c->kind);
    if (c->kind[0] == 'r')
        fprintf(to, "  length  = %ld\n", c->length);
    fputs("}\n", to);
}

/* Adds the last rule of the file, with notes on the chain. */
static void add_last_rule(struct chain *c)
{
    struct import_rule rest = {.title = "rest", .via = "deny"};
    const char *wrong = find_fault(c);
    if (c->hops == 0)
        import_note(c->sink, 0, "[ProxyList]", "no SOCKS5 server: everything is denied");
    else if (wrong)
        import_note(c->sink, 0, "[ProxyList]", "%s", wrong);
    else if (c->hops == 1)
        rest.via = c->titles[0];
    else {
        write_chain(c);
        rest.via = "list";
        import_remark(c->sink, "The name of a server is resolved by the server before it.");
    }
    import_rule(c->sink, &rest);
    c->sink->resolve_local = !c->remote_names;
    import_remark(c->sink, "Loopback is direct here unless a rule names it.");
}

void import_proxychains(struct import_sink *sink, const char *text)
{
    struct chain c = {.sink = sink, .lines = {.at = text}, .kind = "strict", .length = 1};
    bool listing = false;
    while (import_next(&c.lines)) {
        if (strcmp(c.lines.words[0], "[ProxyList]") == 0)
            listing = true;
        else if (listing)
            add_proxy(&c);
        else
            read_directive(&c);
    }
    add_last_rule(&c);
}
