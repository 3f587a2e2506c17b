/* System calls that copy the process, for syscall(). */
#ifndef S5_PRELOAD_FORK_H
#define S5_PRELOAD_FORK_H
#include "hooks.h"

/* Whether NUMBER with ARGUMENTS is one: then before and after go around it, the latter with its result. */
bool s5_fork_copies(long number, const long *arguments);
void s5_fork_before(void);
void s5_fork_after(long ret);

#endif
