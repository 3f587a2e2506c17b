/* The policy before stays mapped, because other threads may read it. One thread at a time works here, in a critical
 * section. Another one does not wait: it uses the policy before. */
#include "follow.h"
#include "auto_reload.h"
#include "bridge.h"
#include "in_engine.h"
#include "reload.h"
#include <errno.h>
#include <string.h>

/* Replaces the policy by FILE. Bridged servers stay redirected: connections that use them have not ended. */
static void use_reloaded_policy(struct s5_engine *e, struct s5_policy_file *file)
{
    struct s5_policy_file *older = e->policy_file;
    memcpy(file->server_cache_path, older->server_cache_path, sizeof file->server_cache_path);
    file->older = older;
    e->policy_file = file;
    e->policy = &file->policy;
    s5_engine_apply_policy(e);
    for (uint32_t i = 0; i < older->policy.n_servers && i < file->policy.n_servers; i++)
        if (older->policy.servers[i].bridged == S5_SERVER_BRIDGED && s5_bridge_fronts(&file->policy.servers[i]))
            s5_bridge_redirect(e, &file->policy.servers[i]);
    for (uint32_t i = 0; i < S5_POLICY_SERVERS; i++)
        atomic_store(&e->no_udp_until[i], 0);
}

static bool is_behind(const struct s5_engine *e, const struct s5_shm *shm)
{
    return atomic_load(&shm->generation) != atomic_load(&e->generation);
}

/* Takes the newest policy. Returns 0, or -errno. */
static int take_newest(struct s5_engine *e, const struct s5_shm *shm)
{
    struct s5_policy_file *file;
    uint32_t generation = 0;
    int r = s5_reload_fetch(shm, &file, &generation);
    if (r == 0)
        use_reloaded_policy(e, file);
    if (r == 0 || r == -EBADMSG) /* not again */
        atomic_store(&e->generation, generation);
    return r;
}

/* What is logged after the critical section. */
struct result {
    int taken, looked;
    struct s5_fault fault;
};

static void follow_once(struct s5_engine *e, struct s5_shm *shm, struct result *ret)
{
    if (is_behind(e, shm))
        ret->taken = take_newest(e, shm);
    if (e->policy->reload_auto)
        ret->looked = s5_auto_reload(shm, atomic_load(&e->shm_fd), e->policy, &e->environment, &ret->fault);
    if (ret->looked > 0 && is_behind(e, shm))
        ret->taken = take_newest(e, shm);
}

void s5_follow(struct s5_engine *e)
{
    struct s5_in_engine_section section;
    struct s5_shm *shm = atomic_load(&e->shm);
    int saved = errno;
    if (!is_behind(e, shm) && !s5_auto_reload_is_due(shm))
        return;
    struct result result = {0, 0, {""}};
    uint32_t idle = 0;
    s5_in_engine_begin(&section);
    if (atomic_compare_exchange_strong(&e->following, &idle, 1)) {
        follow_once(e, shm, &result);
        atomic_store(&e->following, 0);
    }
    s5_in_engine_end(&section);
    if (result.taken == -EBADMSG)
        s5_log(&e->log, S5_LOG_ERROR, "reload: the shared memory is damaged; the policy before it remains in force");
    if (result.looked < 0)
        s5_log(&e->log, S5_LOG_ERROR, "reload: %s; the configuration before it remains in force", result.fault.text);
    if (result.looked > 0)
        s5_log(&e->log, S5_LOG_INFO, "reload: %s", s5_policy_text(e->policy, e->policy->file));
    errno = saved;
}
