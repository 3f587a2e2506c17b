/* System calls that copy the process, for syscall(). */
#ifndef S5_PRELOAD_FORK_H
#define S5_PRELOAD_FORK_H
#include "hooks.h"

/* Whether the system call NUMBER with ARGUMENTS is one. s5_fork_before() is then called before it, and s5_fork_after()
 * after it with its result RET. */
bool s5_fork_copies(long number, const long *arguments);
void s5_fork_before(void);
void s5_fork_after(long ret);

#endif
