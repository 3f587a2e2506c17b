/* File actions of posix_spawn(). libc carries them out in the child, where no hook sees them. Actions that would close
 * or replace the descriptors of the shared state are changed when they are added: the descriptors remain in the child,
 * as with close(), close_range() and dup2(). */
#include "engine.h"
#include "fd_ops.h"
#include "start.h"
#include <spawn.h>

HOOK(int, posix_spawn_file_actions_addclose, (posix_spawn_file_actions_t * actions, int fd))
{
    FIND(real, posix_spawn_file_actions_addclose);
    return s5_fd_is_internal(s5_begin(), fd) ? 0 : real(actions, fd);
}

/* Adds copies of FD and the next descriptor, to TO and the next number. */
static int dup2_shm(posix_spawn_file_actions_t *actions, int fd, int to)
{
    FIND(real, posix_spawn_file_actions_adddup2);
    int up = to > fd; /* then the second is copied first: its number may be TO */
    int r = real(actions, fd + up, to + up);
    return r == 0 ? real(actions, fd + !up, to + !up) : r;
}

/* Other internal descriptors are closed on exec, or are of no use without their socket. */
HOOK(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int from))
{
    FIND(real, posix_spawn_file_actions_addclosefrom_np);
    FIND(real_close, posix_spawn_file_actions_addclose);
    int shm = atomic_load(&s5_begin()->shm_fd);
    if (from < 0 || shm < 0 || shm + S5_SHM_FDS <= from)
        return real(actions, from);
    /* They are at FROM and the next number while all others are closed. */
    bool away = shm > from;
    int r = away ? dup2_shm(actions, shm, from) : 0;
    if (r == 0)
        r = real(actions, away ? from + S5_SHM_FDS : shm + S5_SHM_FDS);
    if (r == 0 && away)
        r = dup2_shm(actions, from, shm);
    for (int fd = from; r == 0 && away && fd < from + S5_SHM_FDS && fd < shm; fd++)
        r = real_close(actions, fd);
    return r;
}

/* The program gets the number TO: an internal descriptor moves away. */
HOOK(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * actions, int fd, int to))
{
    FIND(real, posix_spawn_file_actions_adddup2);
    s5_fd_clear_number(s5_begin(), to);
    return real(actions, fd, to);
}

HOOK(int, posix_spawn_file_actions_addopen,
     (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode))
{
    FIND(real, posix_spawn_file_actions_addopen);
    s5_fd_clear_number(s5_begin(), fd);
    return real(actions, fd, path, flags, mode);
}
