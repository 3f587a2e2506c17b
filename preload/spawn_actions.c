/* posix_spawn's file actions. libc carries them out in the child, where no hook sees them. What they
 * would do to the tree's descriptor is changed when they are put on the list: they leave it to the
 * child, as close(), close_range() and dup2() do. */
#include "engine.h"
#include "start.h"
#include <spawn.h>

HOOK(int, posix_spawn_file_actions_addclose, (posix_spawn_file_actions_t * actions, int fd))
{
    FIND(real, posix_spawn_file_actions_addclose);
    return s5_life_is_hidden(s5_begin(), fd) ? 0 : real(actions, fd);
}

/* Other hidden descriptors are closed on exec or are of no use without the socket they belong to. */
HOOK(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int from))
{
    FIND(real, posix_spawn_file_actions_addclosefrom_np);
    FIND(real_dup2, posix_spawn_file_actions_adddup2);
    FIND(real_close, posix_spawn_file_actions_addclose);
    int tree = atomic_load(&s5_begin()->tree_fd);
    if (from < 0 || tree < from)
        return real(actions, from);
    /* Its number is FROM while all behind that are closed. */
    int r = tree == from ? 0 : real_dup2(actions, tree, from);
    if (r == 0)
        r = real(actions, from + 1);
    if (r == 0 && tree != from)
        r = real_dup2(actions, from, tree);
    return r == 0 && tree != from ? real_close(actions, from) : r;
}

/* A program that wants the number for itself has it. */
HOOK(int, posix_spawn_file_actions_adddup2,
     (posix_spawn_file_actions_t * actions, int fd, int to))
{
    FIND(real, posix_spawn_file_actions_adddup2);
    s5_life_clear(s5_begin(), to);
    return real(actions, fd, to);
}

HOOK(int, posix_spawn_file_actions_addopen,
     (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode))
{
    FIND(real, posix_spawn_file_actions_addopen);
    s5_life_clear(s5_begin(), fd);
    return real(actions, fd, path, flags, mode);
}
