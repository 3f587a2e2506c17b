#include "reach_command.h"
#include <stdlib.h>

#define OPTIONS 6

char **reach_command_make(const struct s5_policy *p, const char *reach, const char *file, char **command)
{
    size_t n = 0, at = 0;
    while (command[n])
        n++;
    const char **words = calloc(n + OPTIONS + 3, sizeof(*words));
    if (!words)
        return NULL;
    words[at++] = reach;
    if (p->strict)
        words[at++] = "--strict";
    if (p->no_loopback_out)
        words[at++] = "--no-loopback-out";
    if (p->no_loopback_in)
        words[at++] = "--no-loopback-in";
    if (p->hide_dbus)
        words[at++] = "--hide-dbus";
    words[at++] = "--";
    words[at++] = file;
    for (size_t i = 0; i < n; i++)
        words[at++] = command[i];
    return (char **)words;
}
