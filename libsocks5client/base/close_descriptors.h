/* Closing many descriptors in a process that is about to run another program. */
#ifndef S5_CLOSE_DESCRIPTORS_H
#define S5_CLOSE_DESCRIPTORS_H

#include <sys/syscall.h>
#include <unistd.h>

/* Closes all descriptors from FIRST to LAST, both included; none if LAST is below FIRST. By system calls alone: the
 * process may share its memory with another. */
static inline void s5_close_descriptors(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return;
    for (unsigned fd = first; fd <= last && fd < 65536; fd++) /* before Linux 5.9 */
        syscall(SYS_close, fd);
}

#endif
