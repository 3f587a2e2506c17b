#include "reach.h"
#include "file.h"
#include "keyed.h"
#include "user_memory.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find_launcher(char *ret, size_t size)
{
    return s5_file_find_program(ret, size, s5_begin_object(), "/../tools/reach/socks5-reach", REACH_PATH) == 0;
}

/* Whether a namespace can be made for a child of this process. In a network namespace that the tree's own programs have
 * made, it would lead out where these wanted no network. */
static bool can_be_apart(struct s5_engine *e)
{
    const struct s5_shm *shm = atomic_load(&e->shm);
    return shm && atomic_load(&e->shm_fd) >= 0 && shm->namespaces.home &&
           shm->namespaces.home == s5_namespaces_own_cookie() && s5_fence() != S5_FENCE_SILENT;
}

/* What the policy chooses for FILE. Most policies choose nothing, and are not loaded for a program that is covered. */
static enum s5_engine_choice choose_engine(struct s5_engine *e, const char *file, int result,
                                           const struct s5_policy **ret_policy)
{
    const struct s5_shm *shm = atomic_load(&e->shm);
    *ret_policy = NULL;
    if (result == 0 && !(shm && atomic_load_explicit(&shm->namespaces.chosen, memory_order_relaxed)))
        return S5_ENGINE_AUTO;
    *ret_policy = s5_engine_policy(e);
    return *ret_policy ? s5_policy_engine(*ret_policy, file) : S5_ENGINE_PRELOAD;
}

static bool is_launcher(const char *file, struct s5_reach_plan *plan)
{
    static const char name[] = "socks5-reach";
    const char *slash = file ? strrchr(file, '/') : NULL;
    struct stat own, other;
    return slash && strcmp(slash + 1, name) == 0 && find_launcher(plan->launcher, sizeof plan->launcher) &&
           fstatat(AT_FDCWD, plan->launcher, &own, 0) == 0 && fstatat(AT_FDCWD, file, &other, 0) == 0 &&
           own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

int s5_reach_decide(struct s5_engine *e, const char *file, int result, const struct s5_program_report *report,
                    struct s5_reach_plan *ret)
{
    ret->apart = ret->bare = false;
    ret->plain = is_launcher(file, ret);
    if (e->in_namespace && result > 0) /* the loader of another C library would fail on the preload object */
        ret->bare = report->coverage == S5_UNCOVERED_LIBC || report->coverage == S5_UNCOVERED_ABI;
    if (e->in_namespace || ret->plain)
        return 0;
    enum s5_engine_choice engine = choose_engine(e, file ? file : report->path, result, &ret->policy);
    bool wanted = result > 0 || engine == S5_ENGINE_NAMESPACE;
    if (!wanted)
        return 0;
    if (engine != S5_ENGINE_PRELOAD && (result == 0 || s5_program_is_reachable(report->coverage)) && can_be_apart(e) &&
        find_launcher(ret->launcher, sizeof ret->launcher)) {
        ret->apart = true;
        return 0;
    }
    if (result > 0 && s5_program_is_limited(report->coverage) && engine != S5_ENGINE_NAMESPACE)
        return 0;
    if (result == 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused to run %.*s: no namespace can be made here", 500,
               file ? file : report->path);
    else
        s5_log(&e->log, S5_LOG_ERROR, "refused to run %.*s: %s: %s", 500, file ? file : report->path, report->detail,
               s5_program_hint(report->coverage));
    return -EACCES;
}

size_t s5_reach_count(char *const argv[])
{
    for (size_t n = 0; argv; n++) {
        char *word;
        if (!s5_user_read(&word, &argv[n], sizeof word))
            return 0;
        if (!word)
            return n + S5_POLICY_REACH_OPTIONS + 4;
    }
    return S5_POLICY_REACH_OPTIONS + 4;
}

void s5_reach_fill(char **words, const struct s5_reach_plan *plan, const char *file, char *const argv[])
{
    const char **to = (const char **)words;
    *to++ = plan->launcher;
    to += s5_policy_reach_options(plan->policy, to);
    *to++ = file;
    if (!argv || !argv[0])
        *to++ = "";
    for (size_t i = 0; argv && argv[i]; i++)
        *to++ = argv[i];
    *to = NULL;
}
