/* Theory of operation: a line is formatted completely and then written at once, so that lines of several processes do
 * not mix. A line that is too long is cut. */
#include "errors.h"
#include "format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int errors_fail(int code, const char *format, ...)
{
    char line[8192] = "socksify: ";
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    s5_format_clean(line, strlen(line));
    strcat(line, "\n");
    fflush(stdout);
    fputs(line, stderr);
    return code;
}
