/* What the importers write into: servers, rules, and notes on what has no equivalent. All of it is
 * put together so that socks5.conf(5) takes it. */
#ifndef TOOLS_IMPORT_SINK_H
#define TOOLS_IMPORT_SINK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define IMPORT_SERVERS 32
#define IMPORT_RULES   200 /* so that names of any length fit the policy's text */
#define IMPORT_TO_MAX  (4 * 255 + 16)

struct import_server {
    char host[256];
    uint16_t port;
    char username[256], password[256]; /* both or none */
    const char *methods;               /* the list as written, or NULL: left out */
    bool isolate;                      /* by process */
};

struct import_sink {
    FILE *notes, *servers, *rules;
    unsigned n_servers, n_rules, lost;
    bool resolve_local, secret, failed;
    struct import_server known[IMPORT_SERVERS];
};

/* The parts of a rule that are not NULL; all but VIA and TITLE as they stand between braces. */
struct import_rule {
    const char *title; /* a number is put behind it */
    const char *to, *ports, *protocol, *command;
    const char *via; /* "direct", "deny", or what import_server gave */
};

/* One thing that has no equivalent, of LINE (0: of none in particular) and what to know about it.
 */
void import_note(struct import_sink *sink, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for what is worth knowing and not lost. */
void import_remark(struct import_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The title of the server with this description, which is added when it is new; NULL when HOST is
 * not one or there are too many. */
const char *import_server(struct import_sink *sink, const struct import_server *server);

void import_rule(struct import_sink *sink, const struct import_rule *rule);

/* ADDRESS with MASK ("8", "255.0.0.0", NULL: all bits) as "10.0.0.0/8", in quotes. */
bool import_network(char *ret, size_t size, const char *address, const char *mask);

/* NAME or ".suffix" as a rule's "to" takes it, in quotes. */
bool import_name(char *ret, size_t size, const char *name);

/* A decimal number from LOW to HIGH, or -1. */
long import_number(const char *text, long low, long high);

/* Into single quotes. SIZE of 2 * strlen(text) + 3 is always enough. */
void import_quote(char *ret, size_t size, const char *text);

/* ---- Lines of words ---- */

#define IMPORT_WORDS 8

struct import_lines {
    const char *at; /* the rest */
    int line;       /* of the words */
    int n_words;
    bool key_value;                      /* the first '=' separates as a blank does */
    bool too_long;                       /* this line: cut, and words are missing */
    const char *words[IMPORT_WORDS + 1]; /* in BUF, NULL behind the last */
    char buf[1024];
};

/* The next line that holds a word and is no comment; false at the end. */
bool import_next(struct import_lines *lines);

/* ---- The importers ---- */

void import_proxychains(struct import_sink *sink, const char *text);
void import_dante(struct import_sink *sink, const char *text);
void import_torsocks(struct import_sink *sink, const char *text);
void import_tsocks(struct import_sink *sink, const char *text);

#endif
