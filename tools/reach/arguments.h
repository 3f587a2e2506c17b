/* The command line of socks5-reach, which only programs of this package write. */
#ifndef TOOLS_ARGUMENTS_H
#define TOOLS_ARGUMENTS_H

#include "handover.h"
#include <limits.h>

struct arguments {
    uint32_t flags;         /* HANDOVER_* */
    bool hide_dbus;         /* the system's message bus is hidden, too */
    bool attempt;           /* only find out whether namespaces can be made */
    char gateway[PATH_MAX]; /* the program */
    const char *file;       /* the command's file */
    char **command;         /* its arguments, from argv[0] on */
};

/* Parses: [--strict] [--no-loopback-out] [--no-loopback-in] [--hide-dbus] -- FILE ARGV0 [ARG...], or --try. Returns 0,
 * or EXIT_OWN_ERROR after it prints what is wrong. */
int arguments_parse(struct arguments *ret, int argc, char **argv);

#endif
