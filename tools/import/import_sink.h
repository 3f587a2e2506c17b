/* What the importers write to: servers, rules, and notes on what has no equivalent. The result is valid for
 * socks5.conf(5). */
#ifndef TOOLS_IMPORT_SINK_H
#define TOOLS_IMPORT_SINK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define IMPORT_SERVERS 31 /* and a chain of them */
#define IMPORT_RULES   200 /* low enough for names of any length to fit into the text of the policy */
#define IMPORT_TO_MAX  (4 * 255 + 16)

struct import_server {
    char host[256];
    uint16_t port;
    char username[256], password[256]; /* both or none */
    const char *methods;               /* the list as in the file, or NULL: left out */
    bool isolate;                      /* by process */
};

struct import_sink {
    FILE *notes, *servers, *rules;
    unsigned n_servers, n_rules, lost;
    bool resolve_local, secret, failed;
    struct import_server known[IMPORT_SERVERS];
};

/* The parts of a rule; NULL: left out. TO to COMMAND have the form that is between the braces. */
struct import_rule {
    const char *title; /* a number is appended */
    const char *to, *ports, *protocol, *command;
    const char *via;  /* "direct", "deny", or the result of import_server() */
    const char *list; /* several servers in place of VIA, in the form that is between the braces; NULL: one */
};

/* Adds a note on WHAT, which has no equivalent. LINE is its line; 0: it belongs to no line. FORMAT says what to know
 * about it. */
void import_note(struct import_sink *sink, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a note on what is worth knowing but is not lost. */
void import_remark(struct import_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns the title of SERVER, which is added if it is new. Returns NULL if HOST or the port is not valid, or if there
 * are too many servers. */
const char *import_server(struct import_sink *sink, const struct import_server *server);

void import_rule(struct import_sink *sink, const struct import_rule *rule);

/* Writes ADDRESS with MASK ("8", "255.0.0.0", NULL: all bits) to RET as "10.0.0.0/8", in quotes. Returns false if it is
 * not a network. */
bool import_network(char *ret, size_t size, const char *address, const char *mask);

/* Writes NAME, which may be ".suffix", to RET in quotes. Returns false if "to" of a rule does not accept it. */
bool import_name(char *ret, size_t size, const char *name);

/* Returns the decimal number TEXT if it is from LOW to HIGH, else -1. */
long import_number(const char *text, long low, long high);

/* Writes TEXT to RET in single quotes. SIZE of 2 * strlen(TEXT) + 3 is always enough. */
void import_quote(char *ret, size_t size, const char *text);

/* ---- Lines of words ---- */

#define IMPORT_WORDS 8

struct import_lines {
    const char *at; /* the text that is not read yet */
    int line;       /* number of the line of the words */
    int n_words;
    bool key_value;                      /* the first "=" separates words as a blank does */
    bool too_long;                       /* this line was cut, and words are missing */
    const char *words[IMPORT_WORDS + 1]; /* in BUF; NULL after the last */
    char buf[1024];
};

/* Reads the next line that has a word and is not a comment. Returns false at the end. */
bool import_next(struct import_lines *lines);

#endif
