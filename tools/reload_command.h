/* --reload: replaces the configuration of programs that run. */
#ifndef TOOLS_RELOAD_COMMAND_H
#define TOOLS_RELOAD_COMMAND_H

#include "options.h"

/* Reads the configuration of the process trees that OPTIONS name again, and puts it in force. A mistake changes nothing
 * in any of them. Returns the exit code: 0, or 1 after it prints what is
 * wrong. */
int reload_command(const struct options *options);

#endif
