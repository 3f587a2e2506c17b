/* Theory of operation: each importer reads its own syntax and writes what it finds into a sink. This file reads the
 * input, guesses its kind, and joins the parts of the result. */
#include "import.h"

#include "errors.h"
#include "file.h"
#include "import_dante.h"
#include "import_proxychains.h"
#include "import_torsocks.h"
#include "import_tsocks.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_FILE_MAX (1u << 20)

static const struct {
    const char *name;    /* for messages */
    const char *file;    /* part of the usual name of the file */
    const char *word[3]; /* a line that begins with one of these identifies the kind; unused ones are NULL */
    void (*read)(struct import_sink *sink, const char *text);
} kinds[] = {
    [IMPORT_PROXYCHAINS] = {"proxychains", "proxychains", {"[ProxyList]", "strict_chain"}, import_proxychains},
    [IMPORT_DANTE] = {"Dante", "socks.conf", {"route", "resolveprotocol", "socks pass"}, import_dante},
    [IMPORT_TORSOCKS] = {"torsocks", "torsocks", {"TorAddress", "TorPort", "OnionAddrRange"}, import_torsocks},
    [IMPORT_TSOCKS] = {"tsocks", "tsocks", {"server", "local", "path"}, import_tsocks},
};
#define KINDS (int)(sizeof(kinds) / sizeof(*kinds))

static bool has_line(const char *text, const char *word)
{
    for (const char *at = text; at;) {
        at += strspn(at, " \t\r\n");
        if (strncmp(at, word, strlen(word)) == 0)
            return true;
        at = strchr(at, '\n');
    }
    return false;
}

enum import_kind import_guess(const char *path, const char *text)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    /* "torsocks.conf" contains the name of Dante's file, so it is tried first. */
    static const enum import_kind order[] = {IMPORT_PROXYCHAINS, IMPORT_TORSOCKS, IMPORT_TSOCKS, IMPORT_DANTE};
    for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
        if (strstr(name, kinds[order[i]].file))
            return order[i];
    }
    static const enum import_kind by_word[] = {IMPORT_PROXYCHAINS, IMPORT_TORSOCKS, IMPORT_DANTE, IMPORT_TSOCKS};
    for (size_t i = 0; i < sizeof(by_word) / sizeof(*by_word); i++) {
        for (int j = 0; j < 3 && kinds[by_word[i]].word[j]; j++) {
            if (has_line(text, kinds[by_word[i]].word[j]))
                return by_word[i];
        }
    }
    return IMPORT_UNKNOWN;
}

/* Joins the three parts in order. Returns a text for the caller to free, or NULL. */
static char *join_parts(const struct import_sink *sink, enum import_kind kind, const char *source, char *const parts[3])
{
    char *all = NULL, name[512];
    snprintf(name, sizeof(name), "%s", source);
    for (char *at = name; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    static const char secret[] = "# Holds a password: keep it in a file of mode 0600.\n";
    if (asprintf(&all, "# From %s, a configuration of %s.\n%s%s\n%s%s\n%s", name, kinds[kind].name,
                 sink->secret ? secret : "", parts[0], sink->resolve_local ? "resolve = \"local\"\n\n" : "", parts[1],
                 parts[2]) < 0)
        return NULL;
    return all;
}

char *import_convert(enum import_kind kind, const char *source, const char *text, unsigned *ret_lost)
{
    char *parts[3] = {NULL, NULL, NULL}, *all = NULL;
    size_t lens[3] = {0, 0, 0};
    struct import_sink *sink = calloc(1, sizeof(*sink));
    if (!sink || kind <= IMPORT_UNKNOWN || (int)kind >= KINDS) {
        free(sink);
        return NULL;
    }
    FILE **streams[3] = {&sink->notes, &sink->servers, &sink->rules};
    for (int i = 0; i < 3; i++) {
        *streams[i] = open_memstream(&parts[i], &lens[i]);
        sink->failed |= !*streams[i];
    }
    if (!sink->failed)
        kinds[kind].read(sink, text);
    for (int i = 0; i < 3; i++) {
        if (*streams[i] && fclose(*streams[i]) != 0)
            sink->failed = true;
    }
    if (!sink->failed)
        all = join_parts(sink, kind, source, parts);
    if (all && ret_lost)
        *ret_lost = sink->lost;
    for (int i = 0; i < 3; i++) {
        if (parts[i])
            explicit_bzero(parts[i], lens[i]);
        free(parts[i]);
    }
    explicit_bzero(sink, sizeof(*sink));
    free(sink);
    return all;
}

static int print_converted(const char *path, const char *text)
{
    enum import_kind kind = import_guess(path, text);
    if (kind == IMPORT_UNKNOWN)
        return errors_fail(EXIT_OWN_ERROR, "%s: not a configuration of proxychains, Dante, torsocks or tsocks", path);
    unsigned lost;
    char *converted = import_convert(kind, path, text, &lost);
    if (!converted)
        return errors_fail(EXIT_OWN_ERROR, "%s: more than %d servers or %d rules", path, IMPORT_SERVERS, IMPORT_RULES);
    bool good = fputs(converted, stdout) >= 0 && fflush(stdout) == 0;
    explicit_bzero(converted, strlen(converted));
    free(converted);
    if (!good)
        return EXIT_OWN_ERROR;
    if (lost > 0)
        errors_fail(0, "%s: %u without an equivalent, see the comments", path, lost);
    return 0;
}

int import(const char *path)
{
    struct s5_file file;
    const char *why;
    if (s5_file_read(&file, path, IMPORT_FILE_MAX, 1, &why) < 0)
        return errors_fail(EXIT_OWN_ERROR, "%s: %s", path, why);
    int code = print_converted(path, file.text);
    s5_file_free(&file);
    return code;
}
