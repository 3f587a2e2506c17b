/* Texts of the configuration and of servers, for a terminal. */
#ifndef TOOLS_PLAIN_TEXT_H
#define TOOLS_PLAIN_TEXT_H

#include <stdio.h>

/* Prints TEXT on TO. Control characters and what is not UTF-8 are replaced by "?", by s5_format_clean(). */
void plain_text_print(FILE *to, const char *text);

#endif
