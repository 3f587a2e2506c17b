/* A stretch in which nothing of the program's happens in this thread. */
#ifndef S5_QUIET_H
#define S5_QUIET_H

#include <signal.h>

struct s5_quiet {
    sigset_t signals;
    int cancel;
};

/* No handler runs and nobody cancels from here on, and calls made are the engine's own
 * (s5_engine_inside). */
void s5_quiet_begin(struct s5_quiet *ret);
void s5_quiet_end(const struct s5_quiet *quiet);

#endif
