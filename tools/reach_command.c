#include "reach_command.h"
#include <stdlib.h>

char **reach_command_make(const struct s5_policy *p, const char *reach, const char *file, char **command)
{
    size_t n = 0, at = 0;
    while (command[n])
        n++;
    const char **words = calloc(n + S5_POLICY_REACH_OPTIONS + 3, sizeof(*words));
    if (!words)
        return NULL;
    words[at++] = reach;
    at += s5_policy_reach_options(p, words + at);
    words[at++] = file;
    for (size_t i = 0; i < n; i++)
        words[at++] = command[i];
    return (char **)words;
}
