/* Whether a command is going to be covered. */
#ifndef TOOLS_JUDGE_H
#define TOOLS_JUDGE_H

#include "program.h"

/* COMMAND as execvp would find it; RET filled in. As s5_program_check. */
int judge_command(const char *command, struct s5_program_report *ret);

#endif
