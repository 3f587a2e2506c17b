/* The result of a connection as one line of text or of JSON. */
#include "event.h"
#include "format.h"
#include "json_line.h"
#include <errno.h>

#define SHORT_TEXT 100 /* octets shown of the title of a rule or server */

static __attribute__((noinline)) void log_event_json(const struct s5_log *log, const char *level,
                                                     const struct s5_event *event, const char *to)
{
    struct s5_json_line j;
    s5_json_line_begin(&j, log, level);
    s5_json_line_text(&j, "command", event->command, 16);
    s5_json_line_text(&j, "to", to, S5_ADDR_TEXT_MAX);
    s5_json_line_text(&j, "rule", event->rule, SHORT_TEXT);
    s5_json_line_text(&j, "server", event->server, SHORT_TEXT);
    s5_json_line_text(&j, "hops", event->hops, 3 * SHORT_TEXT);
    s5_json_line_text(&j, "result", event->result, SHORT_TEXT);
    s5_json_line_text(&j, "phase", event->phase, SHORT_TEXT);
    s5_json_line_text(&j, "reply", event->reply, SHORT_TEXT);
    if (event->ms >= 0)
        s5_json_line_number(&j, "ms", (long long)event->ms);
    s5_json_line_write(&j, log);
}

static __attribute__((noinline)) void log_event_text(const struct s5_log *log, enum s5_log_level level,
                                                     const struct s5_event *event, const char *to)
{
    char text[S5_LOG_LINE / 2 + S5_ADDR_TEXT_MAX];
    const char *program = s5_log_caller(log).program;
    size_t n = s5_format(text, sizeof text, "%s%s%s%s%s", program ? program : "", program ? ": " : "", event->command,
                         *to ? " " : "", to);
    if (event->rule)
        n += s5_format(text + n, sizeof text - n, " by rule \"%.*s\"", SHORT_TEXT, event->rule);
    if (event->server)
        n += s5_format(text + n, sizeof text - n, event->hops ? " via \"%.*s\" (%.*s)" : " via \"%.*s\"", SHORT_TEXT,
                       event->server, 3 * SHORT_TEXT, event->hops);
    n += s5_format(text + n, sizeof text - n, ": %s", event->result);
    if (event->phase)
        n += s5_format(text + n, sizeof text - n, " (waiting for %s, %s)", event->phase,
                       event->reply ? event->reply : "no reply");
    if (event->ms >= 0)
        s5_format(text + n, sizeof text - n, " in %lld ms", (long long)event->ms);
    s5_log(log, level, "%s", text);
}

void s5_event_log(const struct s5_log *log, enum s5_log_level level, const struct s5_event *event)
{
    char to[S5_ADDR_TEXT_MAX] = "";
    if (!log->write || level > log->level)
        return;
    int saved = errno;
    if (event->to)
        s5_addr_format(event->to, to, sizeof to);
    if (log->json)
        log_event_json(log, s5_log_level_name(level), event, event->to ? to : NULL);
    else
        log_event_text(log, level, event, to);
    errno = saved;
}
