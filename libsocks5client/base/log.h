/* Log lines without stdio, locale or malloc, so that any hook may write one.
 * A line is "socksify[PID]: LEVEL: TEXT\n", at most S5_LOG_LINE octets, written
 * with a single write(2) so that lines of several processes do not mix. */
#ifndef S5_LOG_H
#define S5_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_LOG_LINE 1024

enum s5_log_level {
    S5_LOG_NONE = 0,
    S5_LOG_ERROR,   /* traffic is lost */
    S5_LOG_WARNING, /* traffic was refused, or something works at reduced strength */
    S5_LOG_INFO,    /* one line a connection */
    S5_LOG_DEBUG,   /* its phases */
};

/* Where lines go. Given by the door that owns it: this room makes no system call. */
struct s5_log {
    enum s5_log_level level;                                 /* lines above it are not even formatted */
    void (*write)(void *user, const char *line, size_t len); /* LEN includes the newline */
    void *user;
    int32_t pid;          /* shown in every line; 0 shows none */
    bool json;            /* lines are JSON, see event.h */
    const char *program;  /* told in JSON and in lines about connections; not owned, or NULL */
    int64_t (*now)(void); /* ms since 1970, told in JSON; may be NULL */
};

/* FORMAT knows %s (NULL is "(null)"), %.*s, %d, %u, %x, %lld, %llu, %c and %%; any
 * other conversion is copied as it stands, and so is all that follows it, since the
 * size of its argument is not known. Control octets in the result are
 * shown as '?': what comes from a server or a file cannot forge a line.
 * Preserves errno. For an errno's text give s5_error_text() to %s. */
void s5_log(const struct s5_log *log, enum s5_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same formatter into BUF of SIZE octets, always NUL-terminated; returns the
 * octets before the NUL, cut to fit. Control octets stay: the text may be a path. */
size_t s5_format(char *buf, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t s5_vformat(char *buf, size_t size, const char *format, va_list args);

/* The same word back; LEVEL is one of the enum's. */
const char *s5_log_level_name(enum s5_log_level level);

/* "none", "error", "warning", "info", "debug" -> level; -1 for any other text. */
int s5_log_level_parse(const char *text);

#endif
