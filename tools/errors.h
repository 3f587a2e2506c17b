/* Error messages: one line on standard error. */
#ifndef TOOLS_ERRORS_H
#define TOOLS_ERRORS_H

/* Exit codes, as those of env(1). */
enum exit_code {
    EXIT_OWN_ERROR = 125,
    EXIT_NOT_RUN = 126, /* found, but cannot or must not be run */
    EXIT_NOT_FOUND = 127,
};

/* Prints "socksify: TEXT\n" with control characters replaced by "?", and returns CODE. */
int errors_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
