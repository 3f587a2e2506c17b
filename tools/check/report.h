/* The findings of --check, as a table for people or as JSON for programs, row by row. */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include <stdbool.h>

enum finding {
    FINDING_OK,
    FINDING_FAIL,    /* traffic is lost: sets the exit code */
    FINDING_NO,      /* the server does not support it, which not every program needs */
    FINDING_UNKNOWN, /* could not be determined from here */
    FINDING_WARNING, /* does not work, and a rule has another server in its place */
};

struct report {
    bool json;
    bool failed;             /* there was a row with FINDING_FAIL */
    bool spare;              /* the group is on a server that is not the only one: a FINDING_FAIL is a warning */
    bool bad;                /* the group has a row with FINDING_FAIL */
    bool in_group;           /* JSON: a group is open */
    bool any_row, any_group; /* whether a separator comes first */
};

void report_begin(struct report *r, bool json);

/* Begins a group of rows on OF. NAME is its kind: "configuration", "program", "server" or "rule". */
void report_group(struct report *r, const char *name, const char *of);

/* Prints a row. DETAIL describes the finding in a few words. ADVICE says what to do about it, or is NULL. */
void report_row(struct report *r, const char *check, enum finding finding, const char *advice, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));

/* Ends the report. Returns the exit code: 0 or 1. */
int report_end(struct report *r);

/* Prints TEXT as a JSON string on standard output. Octets outside ASCII become U+FFFD. */
void report_string(const char *text);

#endif
