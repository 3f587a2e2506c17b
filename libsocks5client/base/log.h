/* Log lines without stdio, locale or malloc, so that any hook may write one. A line has at most S5_LOG_LINE octets:
 *
 *   socksify[PID]: LEVEL: TEXT\n
 *
 * It is written with a single write(2): lines of several processes do not mix. */
#ifndef S5_LOG_H
#define S5_LOG_H

#include "format.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_LOG_LINE 1024

enum s5_log_level {
    S5_LOG_NONE = 0,
    S5_LOG_ERROR,   /* traffic is lost */
    S5_LOG_WARNING, /* traffic was refused, or a feature works at reduced strength */
    S5_LOG_INFO,    /* one line per connection */
    S5_LOG_DEBUG,   /* the phases of a connection */
};

/* Who a line is about. */
struct s5_log_caller {
    int32_t pid;
    const char *program;
};

/* Where lines go. The layer that owns the log sets WRITE: base/ makes no system call for it. */
struct s5_log {
    enum s5_log_level level;                                 /* less important lines are not formatted */
    void (*write)(void *user, const char *line, size_t len); /* LEN includes the newline */
    void *user;
    int32_t pid;         /* shown in every line; 0: not shown */
    bool json;           /* write lines as JSON, see json_line.h */
    const char *program; /* shown in JSON and in lines about connections; not owned; may be NULL */
    /* In a process that acts for others: who the calling thread acts for, instead of PID and PROGRAM; else NULL. */
    struct s5_log_caller (*find_caller)(void);
    int64_t (*now)(void); /* ms since 1970 for JSON; may be NULL */
};

static inline struct s5_log_caller s5_log_caller(const struct s5_log *log)
{
    return log->find_caller ? log->find_caller() : (struct s5_log_caller){log->pid, log->program};
}

/* Writes one line if LOG takes lines of LEVEL. FORMAT as for s5_format(). Control octets in the result are shown as
 * '?', so that text from a server or a file cannot forge a line. Preserves errno. Use %s with s5_error_text() for the
 * text of an errno value. */
void s5_log(const struct s5_log *log, enum s5_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The word for LEVEL, which must be a value of the enum. Static storage. */
const char *s5_log_level_name(enum s5_log_level level);

/* The level of "none", "error", "warning", "info" or "debug"; -1 for any other text or NULL. */
int s5_log_level_parse(const char *text);

#endif
