/* The times and the versions of the file are in shared memory, so that one process of the tree looks at a time, and a
 * mistake is reported by one. Names of new servers are resolved when a connection needs them, as at the start of a
 * program without socksify. */
#include "auto_reload.h"
#include "merge.h"
#include "reload.h"
#include <errno.h>

/* Returns whether the calling process is the one that looks now. */
static bool begin_look(struct s5_shm *shm)
{
    uint64_t now = s5_clock_coarse(), due = atomic_load(&shm->look_due);
    return due <= now && atomic_compare_exchange_strong(&shm->look_due, &due, now + S5_AUTO_RELOAD_INTERVAL);
}

/* Merges NEXT with the policy in force, and puts it in force. Returns 0, or -errno. -EAGAIN: not now. */
static int replace_policy(struct s5_shm *shm, int shm_fd, const struct s5_policy *next, struct s5_fault *ret_fault)
{
    struct s5_merge merge;
    /* The program may have closed the descriptors, and may have files of its own there. */
    if (!s5_shm_has_policy(shm, shm_fd) || !s5_reload_lock(shm_fd))
        return -EAGAIN;
    struct s5_policy_file *merged = s5_reload_merge(shm, shm_fd, next, &merge, ret_fault);
    if (merged)
        s5_reload_publish(shm, &merged->policy, &merge);
    s5_reload_unlock(shm_fd);
    int r = merged ? 0 : ret_fault->text[0] ? -ENOSPC : -EAGAIN;
    if (merged)
        s5_policy_file_unmap(merged);
    return r;
}

static int read_and_replace(struct s5_shm *shm, int shm_fd, const char *path, const struct s5_environment *env,
                            struct s5_fault *ret_fault)
{
    struct s5_source source = {path, NULL, *env};
    struct s5_policy_file *next = s5_policy_file_private();
    if (!next)
        return -EAGAIN;
    int r = s5_source_load(&next->policy, &source, ret_fault);
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
        r = -EAGAIN;
    if (r == 0)
        r = replace_policy(shm, shm_fd, &next->policy, ret_fault);
    s5_policy_file_unmap(next);
    return r;
}

int s5_auto_reload(struct s5_shm *shm, int shm_fd, const struct s5_policy *p, const struct s5_environment *env,
                   struct s5_fault *ret_fault)
{
    const char *path = s5_policy_text(p, p->file);
    if (!*path || !begin_look(shm))
        return 0;
    uint64_t version = s5_source_version(path);
    if (!version || version == p->file_version || atomic_exchange(&shm->file_seen, version) != version ||
        atomic_load(&shm->file_refused) == version)
        return 0;
    int r = read_and_replace(shm, shm_fd, path, env, ret_fault);
    if (r < 0 && r != -EAGAIN)
        atomic_store(&shm->file_refused, version);
    return r == -EAGAIN ? 0 : r < 0 ? r : 1;
}
