/* A JSON line is built on the stack, like any other log line. The stack may be small, so there is one buffer. Each
 * text in the line is cut so that the whole line always fits and stays valid JSON. */
#include "event.h"
#include <errno.h>
#include <string.h>

#define JSON_MAX   (2 * S5_LOG_LINE)
#define MESSAGE_AT (JSON_MAX - S5_LOG_LINE) /* where a message is before it is quoted */
#define SHORT_TEXT 100                      /* octets shown of the title of a rule or server */

struct json {
    size_t used;
    char line[JSON_MAX];
};

/* Appends at most MAX octets of TEXT between quotes, cut to the free space. */
static void put_quoted(struct json *j, const char *text, size_t max)
{
    j->line[j->used++] = '"';
    for (size_t i = 0; i < max && text[i] && j->used + 6 < sizeof j->line; i++) {
        if (text[i] == '"' || text[i] == '\\')
            j->line[j->used++] = '\\';
        j->line[j->used++] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    }
    j->line[j->used++] = '"';
}

static void put_text(struct json *j, const char *key, const char *text, size_t max)
{
    if (!text || j->used + strlen(key) + 10 > sizeof j->line)
        return;
    j->used += s5_format(j->line + j->used, sizeof j->line - j->used, ",\"%s\":", key);
    put_quoted(j, text, max);
}

static void put_number(struct json *j, const char *key, long long number)
{
    j->used +=
        s5_format(j->line + j->used, sizeof j->line - j->used, "%s\"%s\":%lld", j->used > 1 ? "," : "", key, number);
}

static void begin_json(struct json *j, const struct s5_log *log, const char *level)
{
    j->line[0] = '{';
    j->used = 1;
    if (log->now)
        put_number(j, "time", (long long)log->now());
    put_number(j, "pid", log->pid);
    put_text(j, "program", log->program, 16);
    put_text(j, "level", level, 8);
}

static void write_json(struct json *j, const struct s5_log *log)
{
    memcpy(j->line + j->used, "}\n", 2);
    log->write(log->user, j->line, j->used + 2);
}

void s5_event_message(const struct s5_log *log, const char *level, const char *format, va_list args)
{
    struct json j;
    begin_json(&j, log, level);
    /* The message is formatted at the end of the buffer and quoted into the space before it. It is cut where the
     * two would meet, which takes some 800 octets that need an escape. */
    char *message = j.line + MESSAGE_AT;
    size_t n = s5_vformat(message, S5_LOG_LINE, format, args);
    j.used += s5_format(j.line + j.used, MESSAGE_AT - j.used, ",\"message\":");
    j.line[j.used++] = '"';
    for (size_t i = 0; i < n && j.used + 2 <= MESSAGE_AT + i && j.used + 5 < sizeof j.line; i++) {
        char octet = message[i];
        if (octet == '"' || octet == '\\')
            j.line[j.used++] = '\\';
        j.line[j.used++] = octet < ' ' || octet > '~' ? '?' : octet;
    }
    j.line[j.used++] = '"';
    write_json(&j, log);
}

static __attribute__((noinline)) void log_event_json(const struct s5_log *log, const char *level,
                                                     const struct s5_event *event, const char *to)
{
    struct json j;
    begin_json(&j, log, level);
    put_text(&j, "command", event->command, 16);
    put_text(&j, "to", to, S5_ADDR_TEXT_MAX);
    put_text(&j, "rule", event->rule, SHORT_TEXT);
    put_text(&j, "server", event->server, SHORT_TEXT);
    put_text(&j, "result", event->result, SHORT_TEXT);
    put_text(&j, "phase", event->phase, SHORT_TEXT);
    put_text(&j, "reply", event->reply, SHORT_TEXT);
    if (event->ms >= 0)
        put_number(&j, "ms", (long long)event->ms);
    write_json(&j, log);
}

static __attribute__((noinline)) void log_event_text(const struct s5_log *log, enum s5_log_level level,
                                                     const struct s5_event *event, const char *to)
{
    char text[S5_LOG_LINE / 2 + S5_ADDR_TEXT_MAX];
    size_t n = s5_format(text, sizeof text, "%s%s%s%s%s", log->program ? log->program : "", log->program ? ": " : "",
                         event->command, *to ? " " : "", to);
    if (event->rule)
        n += s5_format(text + n, sizeof text - n, " by rule \"%.*s\"", SHORT_TEXT, event->rule);
    if (event->server)
        n += s5_format(text + n, sizeof text - n, " via \"%.*s\"", SHORT_TEXT, event->server);
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
