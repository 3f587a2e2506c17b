/* What the doctor found, as a table for people or JSON for machines, row by row. */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include <stdbool.h>

enum finding {
    FINDING_OK,
    FINDING_FAIL,    /* traffic is lost: the exit status tells */
    FINDING_NO,      /* the server does not do it, which not everybody needs */
    FINDING_UNKNOWN, /* could not be told from here */
};

struct report {
    bool json;
    bool failed;             /* a FINDING_FAIL was among the rows */
    bool in_group;           /* JSON: a group is open */
    bool any_row, any_group; /* JSON: whether a comma comes first */
};

void report_begin(struct report *r, bool json);

/* What the rows that follow are about: a server, a program. NAME "server" or "program". */
void report_group(struct report *r, const char *name, const char *of);

/* One row. DETAIL in a few words; ADVICE, what to do about it, or NULL. */
void report_row(struct report *r, const char *check, enum finding finding, const char *advice, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));

/* The end; the exit code: 0 or 1. */
int report_end(struct report *r);

/* TEXT between quotes as JSON has it, on standard output; octets outside ASCII as U+FFFD. */
void report_string(const char *text);

#endif
