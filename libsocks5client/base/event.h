/* One line a connection, and JSON lines: what a log line is made of, apart from its text. */
#ifndef S5_EVENT_H
#define S5_EVENT_H

#include "addr.h"
#include "log.h"
#include <stdint.h>

/* What became of a connection. Texts may be NULL: left out. */
struct s5_event {
    const char *command;      /* "connect", "bind", "udp" */
    const struct s5_addr *to; /* whom the program asked for */
    const char *rule;         /* which decided */
    const char *server;       /* NULL: direct */
    const char *result;       /* "connected", or why not */
    const char *phase;        /* what was awaited when it failed */
    const char *reply;        /* what the server said */
    int64_t ms;               /* it took; -1: not known */
};

/* A line of LOG at LEVEL, as text or, where LOG says so, as JSON. Preserves errno. */
void s5_event_log(const struct s5_log *log, enum s5_log_level level, const struct s5_event *event);

/* The JSON form of a line that has a text alone, as s5_log formats it, for s5_log: {"time":MS,"pid":N,"program":"...",
 * "level":"...","message":"..."}. Control octets and those that are not ASCII are shown as '?'. */
void s5_event_message(const struct s5_log *log, const char *level, const char *format, va_list args);

#endif
