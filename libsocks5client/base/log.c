/* s5_log() builds a whole line on the stack, replaces its control octets and passes it to the write function once. */
#include "log.h"
#include "format.h"
#include "json_line.h"
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char *const level_names[] = {
    [S5_LOG_NONE] = "none", [S5_LOG_ERROR] = "error", [S5_LOG_WARNING] = "warning",
    [S5_LOG_INFO] = "info", [S5_LOG_DEBUG] = "debug",
};
#define LEVELS (sizeof level_names / sizeof *level_names)
static_assert(LEVELS == S5_LOG_DEBUG + 1, "a name for every level");

/* A function of its own, so that LINE is not on the stack while JSON is written. */
static __attribute__((noinline)) void write_text_line(const struct s5_log *log, enum s5_log_level level,
                                                      const char *format, va_list args)
{
    char line[S5_LOG_LINE]; /* the newline replaces the NUL in the end */
    int pid = s5_log_caller(log).pid;
    size_t n = pid ? s5_format(line, sizeof line, "socksify[%d]: %s: ", pid, level_names[level])
                   : s5_format(line, sizeof line, "socksify: %s: ", level_names[level]);
    n += s5_vformat(line + n, sizeof line - n, format, args);
    s5_format_clean(line, n);
    line[n++] = '\n';
    log->write(log->user, line, n);
}

void s5_log(const struct s5_log *log, enum s5_log_level level, const char *format, ...)
{
    if (!log || !log->write || level == S5_LOG_NONE || level > log->level || level >= LEVELS)
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    if (log->json)
        s5_json_line_message(log, level_names[level], format, args);
    else
        write_text_line(log, level, format, args);
    va_end(args);
    errno = saved;
}

const char *s5_log_level_name(enum s5_log_level level)
{
    return level_names[level];
}

int s5_log_level_parse(const char *text)
{
    for (size_t i = 0; text && i < LEVELS; i++)
        if (strcmp(text, level_names[i]) == 0)
            return (int)i;
    return -1;
}
