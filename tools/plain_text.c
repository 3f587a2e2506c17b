/* A text is printed as a whole, so that no character is cut. */
#include "plain_text.h"
#include "format.h"
#include <stdlib.h>
#include <string.h>

void plain_text_print(FILE *to, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return;
    s5_format_clean(copy, strlen(copy));
    fputs(copy, to);
    free(copy);
}
