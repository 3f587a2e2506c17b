/* The command line of socksify. */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include "policy.h"
#include <stdbool.h>

enum options_action {
    OPTIONS_RUN,
    OPTIONS_EXPLAIN,
    OPTIONS_CHECK,
    OPTIONS_IMPORT,
    OPTIONS_RELOAD,
    OPTIONS_VERSION,
    OPTIONS_HELP,
};

struct options {
    enum options_action action;
    const char *file;                  /* -c, or NULL */
    const char *profile;               /* -p, or NULL; FILE is its path */
    char *urls[S5_POLICY_SERVERS + 1]; /* -x; copies: the passwords in argv are overwritten */
    unsigned n_urls;
    const char *isolate; /* --isolate, or NULL */
    const char *log;     /* --log: "stderr", "syslog", "fd:N" or a path; or NULL */
    bool log_json;       /* --log-json */
    bool summary;        /* --summary */
    int verbosity;       /* number of -v */
    bool no_fence;       /* --no-fence */
    bool require_fence;  /* --require-fence */
    bool no_companion;   /* --no-companion */
    int engine;          /* --engine: enum s5_engine_choice; -1: not given */
    bool strict;         /* --strict */
    const char *explain; /* HOST:PORT, for OPTIONS_EXPLAIN */
    const char *import;  /* a file, for OPTIONS_IMPORT */
    int process;         /* a process ID, for OPTIONS_RELOAD; 0: none was given */
    bool json;           /* --json, for OPTIONS_CHECK */
    const char *target;  /* HOST:PORT, for OPTIONS_CHECK, or NULL */
    char **command;      /* NULL-terminated, at least one word; for OPTIONS_CHECK it may be NULL */
};

/* Parses the command line into RET. Options end at the first operand. Returns 0, or EXIT_OWN_ERROR after it prints what
 * is wrong. */
int options_parse(struct options *ret, int argc, char **argv);

/* The text of --help. */
extern const char options_help[];

#endif
