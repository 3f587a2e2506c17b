/* Set-up of the engine: what belongs to the process as a whole, the shared state and the policy.
 *
 * Nothing here runs before a call needs it, except what s5_engine_init() does, which is a few loads where an ancestor
 * created the shared state. One thread reads the policy, in a critical section, so that no signal handler of the
 * program runs while s5_in_engine is set. The other threads wait as long as reading the files takes. Names of servers
 * are resolved later. */
#include "engine.h"
#include "error.h"
#include "in_engine.h"
#include "process.h"
#include "server_cache.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t get_kernel_pid(void)
{
    return (uint32_t)syscall(SYS_getpid);
}

bool s5_engine_owns_stderr(const struct s5_engine *e)
{
    struct stat st;
    return fstat(2, &st) == 0 && st.st_dev == e->stderr_dev && st.st_ino == e->stderr_ino;
}

/* --- shared state --- */

void s5_engine_register(struct s5_engine *e, uint32_t number)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    if (!shm)
        return;
    number = number ? number : s5_process_number(&shm->processes);
    atomic_store(&e->process_number, s5_process_register(atomic_load(&e->shm_fd), number));
}

void s5_engine_set_shm_location(struct s5_engine *e, const struct s5_shm_location *place)
{
    e->place = *place;
    if (place->fd >= 0)
        s5_shm_value(place, e->state + sizeof S5_SHM_VARIABLE);
    e->state[0] = place->fd >= 0 ? S5_SHM_VARIABLE[0] : 0;
    atomic_store(&e->shm_fd, place->fd);
}

int s5_engine_attach(struct s5_engine *e)
{
    const char *given = e->state + sizeof S5_SHM_VARIABLE;
    struct s5_shm *shm = NULL;
    struct s5_shm_location place = {.fd = -1};
    s5_in_engine++;
    int r = *given ? s5_shm_attach(given, &shm, &place) : -ENOENT;
    if (r < 0 && r != -ENOMEM) {
        uint32_t lost = place.lost;
        r = s5_shm_create(&shm, &place);
        if (r == 0 && *given)
            s5_shm_replace(shm, &place, lost);
    }
    s5_in_engine--;
    if (r < 0)
        return r;
    bool import = place.import;
    place.import = false;
    s5_engine_set_shm_location(e, &place);
    atomic_store(&e->shm, shm);
    e->in_namespace = s5_namespaces_are_here(&shm->namespaces);
    s5_engine_register(e, 0);
    e->events->attached(e);
    return import;
}

bool s5_engine_owns_memory(struct s5_engine *e)
{
    return atomic_load(&e->pid) == get_kernel_pid();
}

/* --- the policy --- */

static int load_policy(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    int fd = atomic_load(&e->shm_fd);
    uint64_t fingerprint = s5_source_fingerprint(&e->environment);
    /* A process that connects for others has another environment. */
    const uint64_t *expected = e->others ? NULL : &fingerprint;
    struct s5_policy_file *shared = s5_shm_policy(shm, fd, expected), *own = NULL;
    if (!shared) {
        struct s5_source source = {NULL, NULL, e->environment};
        own = s5_policy_file_private();
        int r = own ? s5_source_load(&own->policy, &source, &e->fault) : -ENOMEM;
        if (r < 0) {
            if (own)
                s5_policy_file_unmap(own);
            return r;
        }
        s5_shm_publish(shm, fd, &own->policy, fingerprint, "");
        shared = s5_shm_policy(shm, fd, expected);
    }
    if (shared && own) {
        explicit_bzero(own->policy.servers, sizeof own->policy.servers);
        s5_policy_file_unmap(own);
    }
    e->policy_is_shared = shared != NULL;
    e->policy_file = shared ? shared : own;
    e->policy = &e->policy_file->policy;
    return 0;
}

void s5_engine_apply_policy(struct s5_engine *e)
{
    static const _Atomic uint32_t none = UINT32_MAX; /* s5_engine_is_current() is never true */
    const struct s5_policy *p = e->policy;
    if (e->policy_is_shared)
        atomic_store_explicit(&e->tree_generation,
                              p->reload_auto && !e->others ? &none : &atomic_load(&e->shm)->generation,
                              memory_order_relaxed);
    e->events->loaded(e);
    for (uint32_t i = 0; i < p->n_servers; i++)
        e->server_keys[i] = s5_server_cache_key(p, &p->servers[i]);
}

/* Loads the policy, as the only thread that does. */
static void load_engine_policy(struct s5_engine *e)
{
    struct s5_in_engine_section section;
    s5_in_engine_begin(&section);
    e->fault.text[0] = 0;
    int import = atomic_load(&e->shm) ? 0 : s5_engine_attach(e), r = import < 0 ? import : load_policy(e);
    /* Out-of-resource errors may be temporary; retry on the next call. */
    bool again = r == -ENOMEM || r == -EMFILE || r == -ENFILE;
    if (r < 0 && !e->fault.text[0])
        s5_format(e->fault.text, sizeof e->fault.text, "configuration: %s", s5_error_text(r));
    if (r == 0)
        s5_engine_apply_policy(e);
    atomic_store(&e->refusal, again ? r : -EACCES);
    atomic_store(&e->policy_state, r == 0 ? S5_ENGINE_LOADED : again ? S5_ENGINE_NO_POLICY : S5_ENGINE_BROKEN);
    if (import > 0)
        e->events->import(e);
    s5_in_engine_end(&section);
}

const struct s5_policy *s5_engine_load(struct s5_engine *e)
{
    int state = atomic_load_explicit(&e->policy_state, memory_order_acquire);
    if (state == S5_ENGINE_LOADED && !s5_engine_is_current(e))
        e->events->follow(e);
    if (state == S5_ENGINE_LOADED)
        return e->policy;
    int saved = errno;
    if (state == S5_ENGINE_NO_POLICY && atomic_compare_exchange_strong(&e->policy_state, &state, S5_ENGINE_LOADING))
        load_engine_policy(e);
    while ((state = atomic_load(&e->policy_state)) == S5_ENGINE_LOADING) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    if (state == S5_ENGINE_LOADED && !s5_engine_is_current(e))
        e->events->follow(e);
    errno = saved;
    return state == S5_ENGINE_LOADED ? e->policy : NULL;
}

const struct s5_policy *s5_engine_load_or_say(struct s5_engine *e)
{
    const struct s5_policy *p = s5_engine_load(e);
    if (!p)
        s5_log(&e->log, S5_LOG_ERROR, "refused: %s", e->fault.text);
    return p;
}
