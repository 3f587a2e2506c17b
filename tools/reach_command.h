/* The command line that runs a program in a network namespace. */
#ifndef TOOLS_REACH_COMMAND_H
#define TOOLS_REACH_COMMAND_H

#include "policy.h"

/* Returns the words of socks5-reach for the program FILE with the arguments COMMAND, by the settings of P. REACH: the
 * path of socks5-reach. The result is allocated; NULL: no memory. */
char **reach_command_make(const struct s5_policy *p, const char *reach, const char *file, char **command);

#endif
