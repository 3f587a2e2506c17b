/* Whether a command can be covered by the preload object. */
#ifndef TOOLS_COVERAGE_H
#define TOOLS_COVERAGE_H

#include "program.h"

/* Checks the file that execvp() would run for COMMAND, fills in RET, and stores the file's path in *RET_FILE (static
 * storage). Returns the result of s5_program_check(), or -errno if there is no such file. */
int coverage_of_command(const char *command, struct s5_program_report *ret, const char **ret_file);

#endif
