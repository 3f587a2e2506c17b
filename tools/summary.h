/* --summary: runs the command as a child, and prints at its end where all connections went. */
#ifndef TOOLS_SUMMARY_H
#define TOOLS_SUMMARY_H

#include "fencing.h"
#include "shm.h"

/* Runs COMMAND as a child within FENCE, forwards to it the signals that this process gets, waits for it, and prints the
 * counts of SHM to standard error. Returns the exit code: that of COMMAND (128 + N if signal N ended it), or an
 * exit_code. */
int summary_run(char *const *command, const struct s5_shm *shm, struct fencing *fence);

#endif
