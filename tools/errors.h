/* What is said to a person: one line on standard error. */
#ifndef TOOLS_MESSAGE_H
#define TOOLS_MESSAGE_H

/* Exit codes, as env(1) has them. */
enum exit_code {
    EXIT_OWN_ERROR = 125,
    EXIT_NOT_RUN = 126, /* found but cannot, or must not, be run */
    EXIT_NOT_FOUND = 127,
};

/* Prints "socksify: TEXT\n" and returns CODE. */
int message_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
