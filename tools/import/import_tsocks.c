/* Reads tsocks.conf: networks that are direct, a default server, and paths, which are networks with a server of their
 * own. Networks that are direct come first, wherever they are in the file. The file is therefore read twice. The server
 * of a path is known at the end of the path, and the default server at the end of the file. What a path reaches is kept
 * until its end, and the rule for the default server comes last. */
#include "import_tsocks.h"

#include <string.h>
#include <strings.h>

#define REACHES_MAX 64

struct reach {
    char to[64], ports[32]; /* as in a rule; PORTS may be "" */
};

struct server_lines {
    struct import_server server;
    long type; /* SOCKS version: 4 unless the file says 5, as in tsocks */
};

struct tsocks {
    struct import_sink *sink;
    struct import_lines lines;
    struct server_lines normal, path;
    bool locals; /* the first pass, for what is direct */
    bool in_path;
    unsigned n_reaches;
    struct reach reaches[REACHES_MAX];
};

static void note_unknown(struct tsocks *t)
{
    import_note(t->sink, t->lines.line, t->lines.words[0], "not recognized, left out");
}

/* Parses WORD, "ADDRESS[:PORT[-PORT]][/MASK]", into RET. Returns false if it is not valid. */
static bool parse_reach(struct reach *ret, const char *word)
{
    char text[128], ports[16] = "";
    if (strlen(word) >= sizeof(text))
        return false;
    strcpy(text, word);
    char *mask = strchr(text, '/');
    if (mask)
        *mask++ = '\0';
    char *port = strchr(text, ':');
    ret->ports[0] = '\0';
    if (port) {
        *port++ = '\0';
        char *dash = strchr(port, '-');
        if (dash)
            *dash++ = '\0';
        long low = import_number(port, 1, 65535);
        long high = dash ? import_number(dash, 1, 65535) : low;
        if (low < 0 || high < low)
            return false;
        snprintf(ports, sizeof(ports), dash ? "%ld-%ld" : "%ld", low, high);
        snprintf(ret->ports, sizeof(ret->ports), "\"%s\"", ports);
    }
    return import_network(ret->to, sizeof(ret->to), text, mask);
}

static void add_direct(struct tsocks *t, const char *value)
{
    struct reach reach;
    if (!parse_reach(&reach, value)) {
        note_unknown(t);
        return;
    }
    import_rule(t->sink,
                &(struct import_rule){
                    .title = "local", .to = reach.to, .via = "direct", .ports = reach.ports[0] ? reach.ports : NULL});
}

/* Adds the server S. Returns its title, or NULL after a note that says why there is none. */
static const char *add_server(struct tsocks *t, struct server_lines *s)
{
    if (!s->server.host[0]) {
        import_note(t->sink, t->lines.line, "server", "not given: denied");
        return NULL;
    }
    if (s->type != 5)
        import_note(t->sink, 0, s->server.host, "a SOCKS4 server in this file; SOCKS5 is required here");
    if (!s->server.username[0] != !s->server.password[0]) {
        import_note(t->sink, 0, "default_user, default_pass", "one without the other, left out");
        s->server.username[0] = s->server.password[0] = '\0';
    }
    const char *title = import_server(t->sink, &s->server);
    if (!title)
        import_note(t->sink, 0, s->server.host, "not an address: denied");
    return title;
}

static void init_server(struct server_lines *s)
{
    explicit_bzero(s, sizeof(*s));
    s->server.port = 1080;
    s->type = 4;
}

static void end_path(struct tsocks *t)
{
    const char *title = t->n_reaches > 0 ? add_server(t, &t->path) : NULL;
    for (unsigned i = 0; i < t->n_reaches; i++) {
        const struct reach *reach = &t->reaches[i];
        import_rule(t->sink, &(struct import_rule){.title = "path",
                                                   .to = reach->to,
                                                   .ports = reach->ports[0] ? reach->ports : NULL,
                                                   .via = title ? title : "deny"});
    }
    t->in_path = false;
    t->n_reaches = 0;
}

static void add_reach(struct tsocks *t, const char *value)
{
    if (!t->in_path || t->n_reaches == REACHES_MAX || !parse_reach(&t->reaches[t->n_reaches], value))
        note_unknown(t);
    else
        t->n_reaches++;
}

static bool copy_word(char ret[256], const char *value)
{
    if (strlen(value) > 255)
        return false;
    strcpy(ret, value);
    return true;
}

/* Reads the line KEY with VALUE. Returns false if it is not about a server. */
static bool read_server_line(struct tsocks *t, const char *key, const char *value)
{
    struct server_lines *s = t->in_path ? &t->path : &t->normal;
    bool good = true;
    if (strcasecmp(key, "server") == 0)
        good = copy_word(s->server.host, value);
    else if (strcasecmp(key, "default_user") == 0)
        good = copy_word(s->server.username, value);
    else if (strcasecmp(key, "default_pass") == 0)
        good = copy_word(s->server.password, value);
    else if (strcasecmp(key, "server_type") == 0)
        good = (s->type = import_number(value, 4, 5)) > 0;
    else if (strcasecmp(key, "server_port") == 0)
        s->server.port =
            (good = import_number(value, 1, 65535) > 0) ? (uint16_t)import_number(value, 1, 65535) : s->server.port;
    else
        return false;
    if (!good)
        note_unknown(t);
    return true;
}

static void read_line(struct tsocks *t)
{
    const char *key = t->lines.words[0], *value = t->lines.words[1];
    bool local = strcasecmp(key, "local") == 0 && value && !t->lines.too_long;
    if (t->locals || local) {
        if (t->locals && local)
            add_direct(t, value);
    } else if (key[0] == '}') {
        end_path(t);
    } else if (strncasecmp(key, "path", 4) == 0) {
        if (t->in_path)
            end_path(t);
        t->in_path = true;
        init_server(&t->path);
    } else if (!value || t->lines.too_long) {
        note_unknown(t);
    } else if (strcasecmp(key, "reaches") == 0) {
        add_reach(t, value);
    } else if (strcasecmp(key, "fallback") == 0) {
        if (strcasecmp(value, "no") != 0)
            import_note(t->sink, t->lines.line, key, "what the server cannot reach is never tried directly");
    } else if (!read_server_line(t, key, value)) {
        note_unknown(t);
    }
}

void import_tsocks(struct import_sink *sink, const char *text)
{
    static _Thread_local struct tsocks t;
    memset(&t, 0, sizeof(t));
    t.sink = sink;
    init_server(&t.normal);
    for (int reading = 0; reading < 2; reading++) {
        t.locals = reading == 0;
        t.lines = (struct import_lines){.at = text, .key_value = true};
        while (import_next(&t.lines))
            read_line(&t);
    }
    if (t.in_path)
        end_path(&t);
    const char *title = add_server(&t, &t.normal);
    import_rule(sink, &(struct import_rule){.title = "rest", .via = title ? title : "deny"});
    sink->resolve_local = true;
    import_remark(sink,
                  "Names are resolved locally, as with tsocks; resolve = \"remote\" lets the server resolve them.");
    explicit_bzero(&t, sizeof(t));
}
