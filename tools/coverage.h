/* Whether a command can be covered by the preload object. */
#ifndef TOOLS_JUDGE_H
#define TOOLS_JUDGE_H

#include "program.h"

/* Checks the file that execvp() would run for COMMAND, and fills in RET. Returns the result of s5_program_check(), or
 * -errno if there is no such file. */
int judge_command(const char *command, struct s5_program_report *ret);

#endif
