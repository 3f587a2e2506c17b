/* --summary: the command as a child, and where everything went at its end. */
#ifndef TOOLS_SUMMARY_H
#define TOOLS_SUMMARY_H

#include "shm.h"

/* Runs COMMAND as a child that gets the signals this process gets, waits for it, and prints to
 * standard error what TREE, which has POLICY, counted. The exit code: the command's own (128 + N where signal N ended
 * it), or an exit_code. */
int summary_run(char *const *command, const struct s5_shm *shm, const struct s5_policy *policy);

#endif
