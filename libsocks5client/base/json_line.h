/* Log lines as JSON objects: {"time":MS,"pid":N,"program":"...","level":"...", further members}. Control octets and
 * octets that are not ASCII are shown as '?'. */
#ifndef S5_JSON_LINE_H
#define S5_JSON_LINE_H

#include "log.h"
#include <stdarg.h>
#include <stddef.h>

#define S5_JSON_LINE_MAX (3 * S5_LOG_LINE)

struct s5_json_line {
    size_t used; /* octets of LINE */
    char line[S5_JSON_LINE_MAX];
};

/* Begins J with the members that every line has. */
void s5_json_line_begin(struct s5_json_line *j, const struct s5_log *log, const char *level);

/* Adds a member: TEXT, of which at most MAX octets are shown and which is omitted if NULL, or NUMBER. */
void s5_json_line_text(struct s5_json_line *j, const char *key, const char *text, size_t max);
void s5_json_line_number(struct s5_json_line *j, const char *key, long long number);

/* Ends J and writes it to LOG. */
void s5_json_line_write(struct s5_json_line *j, const struct s5_log *log);

/* Writes a line with the one member "message", formatted as by s5_format(). */
void s5_json_line_message(const struct s5_log *log, const char *level, const char *format, va_list args);

#endif
