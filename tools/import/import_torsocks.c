/* Reads torsocks.conf: one server, Tor's, and switches. What torsocks itself refuses (UDP, listening, loopback) becomes
 * rules that deny. */
#include "import_torsocks.h"

#include <string.h>
#include <strings.h>

struct torsocks {
    struct import_sink *sink;
    struct import_lines lines;
    struct import_server server;
    long localhost; /* AllowOutboundLocalhost: 0 none, 1 TCP, 2 UDP too */
    bool inbound, no_ipv6;
};

static bool copy_word(char ret[256], const char *value)
{
    if (strlen(value) > 255)
        return false;
    strcpy(ret, value);
    return true;
}

/* Reads the directive KEY with VALUE. Returns false if it is not understood. */
static bool read_directive(struct torsocks *t, const char *key, const char *value)
{
    long number = import_number(value, 0, 65535);
    if (strcasecmp(key, "TorAddress") == 0)
        return copy_word(t->server.host, value);
    if (strcasecmp(key, "SOCKS5Username") == 0)
        return copy_word(t->server.username, value);
    if (strcasecmp(key, "SOCKS5Password") == 0)
        return copy_word(t->server.password, value);
    if (strcasecmp(key, "TorPort") == 0) {
        t->server.port = number > 0 ? (uint16_t)number : 0;
        return number > 0;
    }
    if (strcasecmp(key, "AllowOutboundLocalhost") == 0)
        return (t->localhost = number) >= 0 && number <= 2;
    if (strcasecmp(key, "AllowInbound") == 0) {
        t->inbound = number == 1;
        return number == 0 || number == 1;
    }
    if (strcasecmp(key, "EnableIPv6") == 0) {
        t->no_ipv6 = number == 0;
        return number == 0 || number == 1;
    }
    if (strcasecmp(key, "OnionAddrRange") == 0)
        import_remark(t->sink, "OnionAddrRange: every name has a fake address, .onion or not");
    else if (strcasecmp(key, "IsolatePID") == 0)
        return (t->server.isolate = number == 1) || number == 0;
    else
        return false;
    return true;
}

static void add_rules(struct torsocks *t, const char *server)
{
    static const char loopback[] = "\"127.0.0.0/8\", \"::1\", \".localhost\"";
    if (t->localhost != 2)
        import_rule(t->sink, &(struct import_rule){.title = "loopback",
                                                   .to = loopback,
                                                   .protocol = t->localhost == 1 ? "\"udp\"" : NULL,
                                                   .via = "deny"});
    if (!t->inbound)
        import_rule(t->sink, &(struct import_rule){.title = "inbound", .command = "\"bind\"", .via = "deny"});
    if (t->no_ipv6)
        import_rule(t->sink, &(struct import_rule){.title = "ipv6", .to = "\"::/0\"", .via = "deny"});
    import_rule(t->sink, &(struct import_rule){.title = "udp", .protocol = "\"udp\"", .via = "deny"});
    import_rule(t->sink, &(struct import_rule){.title = "rest", .via = server ? server : "deny"});
}

void import_torsocks(struct import_sink *sink, const char *text)
{
    struct torsocks t = {.sink = sink, .lines = {.at = text}};
    t.server = (struct import_server){.host = "127.0.0.1", .port = 9050};
    while (import_next(&t.lines)) {
        const char *key = t.lines.words[0], *value = t.lines.words[1];
        if (!value || t.lines.too_long || !read_directive(&t, key, value))
            import_note(sink, t.lines.line, key, "not recognized, left out");
    }
    if (!t.server.username[0] != !t.server.password[0]) {
        import_note(sink, 0, "SOCKS5Username, SOCKS5Password", "one without the other, left out");
        t.server.username[0] = t.server.password[0] = '\0';
    }
    const char *title = import_server(sink, &t.server);
    if (!title)
        import_note(sink, 0, "TorAddress, TorPort", "not an address: everything is denied");
    add_rules(&t, title);
    explicit_bzero(&t, sizeof(t));
}
