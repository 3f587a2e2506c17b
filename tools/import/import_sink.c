/* Theory of operation: three memory streams, which import.c joins at the end. Every word of the foreign file is checked
 * and quoted before it is written, and control characters in comments are replaced. No content of the foreign file can
 * make the result invalid. */
#include "import_sink.h"

#include "addr.h"
#include "policy.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Comments ---- */

static void print_comment(struct import_sink *sink, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, sink->notes);
}

void import_note(struct import_sink *sink, int line, const char *what, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    sink->lost++;
    fputs("# NO EQUIVALENT: ", sink->notes);
    if (line > 0)
        fprintf(sink->notes, "line %d: ", line);
    print_comment(sink, what);
    fputs(": ", sink->notes);
    print_comment(sink, text);
    fputc('\n', sink->notes);
}

void import_remark(struct import_sink *sink, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fputs("# ", sink->notes);
    print_comment(sink, text);
    fputc('\n', sink->notes);
}

/* ---- Values ---- */

void import_quote(char *ret, size_t size, const char *text)
{
    size_t used = 0;
    ret[used++] = '\'';
    for (; *text && used + 4 <= size; text++) {
        if (*text == '\'' || *text == '\\')
            ret[used++] = '\\';
        ret[used++] = *text;
    }
    ret[used++] = '\'';
    ret[used] = '\0';
}

long import_number(const char *text, long low, long high)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return -1;
    long number = strtol(text, NULL, 10);
    return number < low || number > high ? -1 : number;
}

/* Returns the prefix length of MASK (NULL: all bits), or -1. */
static long parse_prefix(const char *mask, int family)
{
    struct in_addr bits;
    if (!mask)
        return family == AF_INET ? 32 : 128;
    if (family == AF_INET && strchr(mask, '.')) {
        if (inet_pton(AF_INET, mask, &bits) != 1)
            return -1;
        uint32_t hosts = ~ntohl(bits.s_addr);
        return hosts & (hosts + 1) ? -1 : hosts == 0 ? 32 : __builtin_clz(hosts);
    }
    return import_number(mask, 0, family == AF_INET ? 32 : 128);
}

bool import_network(char *ret, size_t size, const char *address, const char *mask)
{
    uint8_t octets[16];
    char text[INET6_ADDRSTRLEN];
    int family = strchr(address, ':') ? AF_INET6 : AF_INET;
    if (family == AF_INET && mask && strcmp(address, "0") == 0)
        address = "0.0.0.0";
    if (inet_pton(family, address, octets) != 1)
        return false;
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    long prefix = parse_prefix(mask, family), bits = family == AF_INET ? 32 : 128;
    if (prefix < 0 || (family == AF_INET6 && memcmp(octets, mapped, sizeof(mapped)) == 0))
        return false;
    for (long bit = prefix; bit < bits; bit++)
        octets[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    inet_ntop(family, octets, text, sizeof(text));
    return snprintf(ret, size, "\"%s/%ld\"", text, prefix) < (int)size;
}

bool import_name(char *ret, size_t size, const char *name)
{
    static struct s5_policy scratch; /* the policy knows what a rule accepts */
    scratch.n_matches = 0;
    scratch.n_text = 1;
    if (strpbrk(name, "*/:") || s5_policy_add_match(&scratch, name, strlen(name)) < 0)
        return false;
    import_quote(ret, size, name);
    return true;
}

/* ---- Servers and rules ---- */

static const char *get_title(unsigned index)
{
    static char titles[IMPORT_SERVERS][24];
    snprintf(titles[index], sizeof(titles[index]), "server-%u", index + 1);
    return titles[index];
}

static bool is_same_server(const struct import_server *a, const struct import_server *b)
{
    return strcmp(a->host, b->host) == 0 && a->port == b->port && a->isolate == b->isolate &&
           strcmp(a->username, b->username) == 0 && strcmp(a->password, b->password) == 0 &&
           strcmp(a->methods ? a->methods : "", b->methods ? b->methods : "") == 0;
}

static void print_server(struct import_sink *sink, const struct import_server *server, const char *title)
{
    char quoted[2 * 255 + 3];
    import_quote(quoted, sizeof(quoted), server->host);
    fprintf(sink->servers, "server \"%s\" {\n  address  = %s\n  port     = %u\n", title, quoted,
            (unsigned)server->port);
    if (server->methods)
        fprintf(sink->servers, "  methods  = {%s}\n", server->methods);
    if (server->isolate)
        fputs("  isolate  = {\"process\"}\n", sink->servers);
    if (server->username[0]) {
        import_quote(quoted, sizeof(quoted), server->username);
        fprintf(sink->servers, "  username = %s\n", quoted);
        import_quote(quoted, sizeof(quoted), server->password);
        fprintf(sink->servers, "  password = %s\n", quoted);
        explicit_bzero(quoted, sizeof(quoted));
        sink->secret = true;
    }
    fputs("}\n", sink->servers);
}

const char *import_server(struct import_sink *sink, const struct import_server *server)
{
    struct s5_addr addr;
    if (s5_addr_parse(&addr, server->host, strlen(server->host), server->port) < 0 || server->port == 0)
        return NULL;
    for (unsigned i = 0; i < sink->n_servers; i++) {
        if (is_same_server(&sink->known[i], server))
            return get_title(i);
    }
    if (sink->n_servers == IMPORT_SERVERS) {
        sink->failed = true;
        return NULL;
    }
    unsigned index = sink->n_servers++;
    sink->known[index] = *server;
    print_server(sink, server, get_title(index));
    return get_title(index);
}

static void print_list(FILE *out, const char *key, const char *values)
{
    if (values)
        fprintf(out, " %s = {%s}", key, values);
}

void import_rule(struct import_sink *sink, const struct import_rule *rule)
{
    if (sink->n_rules == IMPORT_RULES) {
        sink->failed = true;
        return;
    }
    fprintf(sink->rules, "rule \"%s-%u\" {", rule->title, ++sink->n_rules);
    print_list(sink->rules, "to", rule->to);
    print_list(sink->rules, "ports", rule->ports);
    print_list(sink->rules, "protocol", rule->protocol);
    print_list(sink->rules, "command", rule->command);
    if (rule->list)
        fprintf(sink->rules, " via = {%s} }\n", rule->list);
    else
        fprintf(sink->rules, " via = \"%s\" }\n", rule->via);
}

/* ---- Lines ---- */

static void split_line(struct import_lines *lines, size_t len)
{
    size_t keep = len < sizeof(lines->buf) - 1 ? len : sizeof(lines->buf) - 1;
    memcpy(lines->buf, lines->at, keep);
    lines->buf[keep] = '\0';
    lines->too_long = keep < len;
    char *equals = lines->key_value ? strchr(lines->buf, '=') : NULL;
    if (equals)
        *equals = ' ';
    lines->n_words = 0;
    char *rest = lines->buf, *word;
    while (lines->n_words < IMPORT_WORDS && (word = strsep(&rest, " \t\r\v\f"))) {
        if (*word)
            lines->words[lines->n_words++] = word;
    }
    lines->words[lines->n_words] = NULL;
}

bool import_next(struct import_lines *lines)
{
    while (*lines->at) {
        size_t len = strcspn(lines->at, "\n");
        split_line(lines, len);
        lines->at += len + (lines->at[len] == '\n');
        lines->line++;
        if (lines->n_words > 0 && lines->words[0][0] != '#')
            return true;
    }
    explicit_bzero(lines->buf, sizeof(lines->buf));
    return false;
}
