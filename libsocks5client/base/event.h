/* One log line per connection. */
#ifndef S5_EVENT_H
#define S5_EVENT_H

#include "addr.h"
#include "log.h"
#include <stdint.h>

/* The result of a connection. Texts may be NULL and are omitted then. */
struct s5_event {
    const char *command;       /* "connect", "bind", "udp" */
    const struct s5_addr *to;  /* the destination the program requested */
    const char *rule;          /* the rule that decided */
    const char *server, *hops; /* NULL: direct; its servers that the connection goes through, if it is a chain */
    const char *result;        /* "connected", or the reason of the failure */
    const char *phase;         /* the message that was awaited when it failed */
    const char *reply;         /* the server's answer */
    int64_t ms;                /* duration in milliseconds; -1: not known */
};

/* Writes one line to LOG at LEVEL, as JSON if LOG is set to JSON, else as text. Preserves errno. */
void s5_event_log(const struct s5_log *log, enum s5_log_level level, const struct s5_event *event);

#endif
