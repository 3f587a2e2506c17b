/* POSIX record locks on octets of the shared memory. Such a lock belongs to the process, not to the descriptor: a
 * fork does not inherit it, an exec keeps it, and the kernel drops it when the process ends. It is also dropped when
 * the process closes any descriptor of the file. */
#ifndef S5_BYTE_LOCK_H
#define S5_BYTE_LOCK_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Runs COMMAND, F_SETLK or F_GETLK, with lock type TYPE for N octets from AT (N 0: all octets from AT on). Returns
 * whether it succeeded. *RET_TYPE receives the type that F_GETLK finds. Calls the kernel directly, past any hook of
 * fcntl(). Preserves errno. */
static inline bool s5_byte_lock(int fd, int command, short type, off_t at, off_t n, short *ret_type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = n};
    int saved = errno;
#ifdef SYS_fcntl64 /* 32-bit machines, with an off_t of 64 bits */
    long r = syscall(SYS_fcntl64, fd, command, &l);
#else
    long r = syscall(SYS_fcntl, fd, command, &l);
#endif
    errno = saved;
    *ret_type = l.l_type;
    return r == 0;
}

#endif
