/* A JSON line is built on the stack, like any other log line. The stack may be small, so there is one buffer. Each
 * text in the line is cut so that the whole line always fits and stays valid JSON. */
#include "json_line.h"
#include <string.h>

#define MESSAGE_AT (S5_JSON_LINE_MAX - S5_LOG_LINE) /* where a message is before it is quoted */

/* Appends at most MAX octets of TEXT between quotes, cut to the free space. */
static void put_quoted(struct s5_json_line *j, const char *text, size_t max)
{
    j->line[j->used++] = '"';
    for (size_t i = 0; i < max && text[i] && j->used + 6 < sizeof j->line; i++) {
        if (text[i] == '"' || text[i] == '\\')
            j->line[j->used++] = '\\';
        j->line[j->used++] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    }
    j->line[j->used++] = '"';
}

void s5_json_line_text(struct s5_json_line *j, const char *key, const char *text, size_t max)
{
    if (!text || j->used + strlen(key) + 10 > sizeof j->line)
        return;
    j->used += s5_format(j->line + j->used, sizeof j->line - j->used, ",\"%s\":", key);
    put_quoted(j, text, max);
}

void s5_json_line_number(struct s5_json_line *j, const char *key, long long number)
{
    j->used +=
        s5_format(j->line + j->used, sizeof j->line - j->used, "%s\"%s\":%lld", j->used > 1 ? "," : "", key, number);
}

void s5_json_line_begin(struct s5_json_line *j, const struct s5_log *log, const char *level)
{
    j->line[0] = '{';
    j->used = 1;
    if (log->now)
        s5_json_line_number(j, "time", (long long)log->now());
    struct s5_log_caller caller = s5_log_caller(log);
    s5_json_line_number(j, "pid", caller.pid);
    s5_json_line_text(j, "program", caller.program, 16);
    s5_json_line_text(j, "level", level, 8);
}

void s5_json_line_write(struct s5_json_line *j, const struct s5_log *log)
{
    memcpy(j->line + j->used, "}\n", 2);
    log->write(log->user, j->line, j->used + 2);
}

void s5_json_line_message(const struct s5_log *log, const char *level, const char *format, va_list args)
{
    struct s5_json_line j;
    s5_json_line_begin(&j, log, level);
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
    s5_json_line_write(&j, log);
}
