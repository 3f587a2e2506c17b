/* File actions of posix_spawn(). libc carries them out in the child, where no hook sees them. Actions that would close
 * or replace the descriptors of the shared state are changed when they are added: the descriptors remain in the child,
 * as with close(), close_range() and dup2().
 *
 * The program is checked before, in the parent. The directory that it is going to have is therefore found by following
 * the actions here, in the form in which libc keeps them. The form is that of all versions since glibc 2.29, and tests
 * hold it. */
#include "spawn_actions.h"
#include "engine.h"
#include "fd_ops.h"
#include "start.h"
#include <fcntl.h>

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

/* --- the directory of the child --- */

/* struct __spawn_action of glibc. */
struct action {
    enum { CLOSE, DUP2, OPEN, CHDIR, FCHDIR, CLOSE_FROM } kind;
    union {
        struct {
            int fd, to;
        } dup2;
        struct {
            int fd;
            const char *path;
            int flags;
            mode_t mode;
        } open;
        const char *path;
        int fd;
    };
};

static int open_directory(int from, const char *path)
{
    int fd = openat(from, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int find_directory(const struct action *actions, int count, int *ret);

/* Opens what the descriptor FD of the child is after COUNT actions. */
static int open_descriptor(const struct action *actions, int count, int fd)
{
    while (count-- > 0) {
        const struct action *at = &actions[count];
        if (at->kind == DUP2 && at->dup2.to == fd)
            fd = at->dup2.fd;
        else if (at->kind == OPEN && at->open.fd == fd) {
            int from, r = find_directory(actions, count, &from);
            r = r < 0 ? r : open_directory(from, at->open.path);
            if (from >= 0)
                s5_begin()->real->close(from);
            return r;
        }
    }
    return (fd = s5_begin()->real->fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0 ? -errno : fd;
}

/* Opens the directory of the child after COUNT actions. *RET is AT_FDCWD where it is that of the parent. */
static int find_directory(const struct action *actions, int count, int *ret)
{
    *ret = AT_FDCWD;
    for (int i = 0; i < count; i++) {
        const struct action *at = &actions[i];
        if (at->kind != CHDIR && at->kind != FCHDIR)
            continue;
        int next = at->kind == CHDIR ? open_directory(*ret, at->path) : open_descriptor(actions, i, at->fd);
        if (*ret >= 0)
            s5_begin()->real->close(*ret);
        *ret = next < 0 ? AT_FDCWD : next;
        if (next < 0)
            return next;
    }
    return 0;
}

int s5_spawn_actions_place(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                           struct s5_program_place *place)
{
    short flags = 0;
    int saved = errno, r = 0;
    if (attr && posix_spawnattr_getflags(attr, &flags) == 0)
        place->real_ids = flags & POSIX_SPAWN_RESETIDS;
    if (actions)
        r = find_directory((const struct action *)actions->__actions, actions->__used, &place->dir);
    errno = saved;
    return r;
}
