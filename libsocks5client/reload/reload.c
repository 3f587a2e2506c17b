/* The writer fills the place that is not in force and then advances the generation. So a writer that is killed leaves
 * nothing behind, and a reader whose generation is still the same after it has copied the policy has a whole one. What
 * it copied may come from any process of the tree, and is checked as the file is. */
#include "reload.h"
#include "byte_lock.h"
#include "policy_check.h"
#include <errno.h>
#include <string.h>

#define LOCK_AT  ((off_t)1 << 40) /* an octet that no process number names */
#define ATTEMPTS 4

static const struct s5_policy *get_place(const struct s5_shm *shm, uint32_t generation)
{
    return &shm->reloaded[generation % S5_SHM_RELOADED];
}

int s5_reload_fetch(const struct s5_shm *shm, struct s5_policy_file **ret, uint32_t *ret_generation)
{
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < ATTEMPTS; i++) {
        uint32_t generation = *ret_generation = atomic_load(&shm->generation);
        if (!generation)
            return -ENOENT;
        struct s5_policy_file *file = s5_policy_file_private();
        if (!file)
            return -ENOMEM;
        bool copied = s5_policy_copy(&file->policy, get_place(shm, generation));
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&shm->generation) == generation)
            r = copied && s5_policy_is_sound(&file->policy) ? 0 : -EBADMSG;
        if (r < 0) {
            s5_policy_file_unmap(file);
            continue;
        }
        file->generation = generation;
        memcpy(file->configured, file->policy.servers, file->policy.n_servers * sizeof file->configured[0]);
        *ret = file;
    }
    return r;
}

struct s5_policy_file *s5_reload_current(const struct s5_shm *shm, int shm_fd)
{
    struct s5_policy_file *file = NULL;
    uint32_t generation;
    return s5_reload_fetch(shm, &file, &generation) == -ENOENT ? s5_shm_policy(shm, shm_fd, NULL) : file;
}

bool s5_reload_lock(int shm_fd)
{
    short type;
    return s5_byte_lock(shm_fd, F_SETLK, F_WRLCK, LOCK_AT, 1, &type);
}

void s5_reload_unlock(int shm_fd)
{
    short type;
    s5_byte_lock(shm_fd, F_SETLK, F_UNLCK, LOCK_AT, 1, &type);
}

struct s5_policy_file *s5_reload_merge(const struct s5_shm *shm, int shm_fd, const struct s5_policy *next,
                                       struct s5_merge *ret_merge, struct s5_fault *ret_fault)
{
    struct s5_policy_file *current = s5_reload_current(shm, shm_fd), *merged = s5_policy_file_private();
    int r = current && merged ? s5_merge(&merged->policy, next, &current->policy, ret_merge) : -ENOMEM;
    ret_fault->text[0] = '\0';
    if (r == -ENOSPC)
        r = s5_fault_set(ret_fault, r, "%s: too many servers together with those that are in use: %d is the limit",
                         s5_policy_text(next, next->source), S5_POLICY_SERVERS);
    if (current)
        s5_policy_file_unmap(current);
    if (r == 0)
        return merged;
    if (merged)
        s5_policy_file_unmap(merged);
    return NULL;
}

/* Clears the counts of a server whose index is another one's now. */
static void clear_counts(struct s5_server_stats *stats)
{
    for (size_t i = 0; i < sizeof *stats / sizeof(uint32_t); i++)
        atomic_store(&((_Atomic uint32_t *)stats)[i], 0);
}

void s5_reload_publish(struct s5_shm *shm, const struct s5_policy *p, const struct s5_merge *merge)
{
    uint32_t generation = atomic_load(&shm->generation) + 1;
    struct s5_policy *place = &shm->reloaded[generation % S5_SHM_RELOADED];
    atomic_thread_fence(memory_order_seq_cst); /* after the reload before this one, for those who read its place */
    explicit_bzero(place->servers, place->n_servers % (S5_POLICY_SERVERS + 1) * sizeof place->servers[0]);
    s5_policy_copy(place, p);
    for (unsigned i = 0; i < S5_POLICY_SERVERS; i++)
        if (merge->reused >> i & 1) {
            s5_shm_forget_resolved(shm, i);
            clear_counts(&shm->stats.servers[i]);
        }
    atomic_store(&shm->namespaces.chosen, p->n_programs > 0 || p->engine != S5_ENGINE_AUTO);
    atomic_store(&shm->generation, generation);
}
