/* The start of the preload object, before main() where the loader allows it, and the path that the object was loaded
 * from. */
#include "start.h"
#include "error.h"
#include "fence.h"
#include "fence_rules.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* The drop-in functions of the library look for this symbol. Where it exists, they leave everything to the preload
 * object. */
EXPORT const int socksify_covers = 1;

/* SOCKS5_FENCE=1: the first process installs the fence, for itself and all that it starts. Without socksify there is no
 * companion, so refused calls fail silently. */
static void install_fence(struct s5_engine *e)
{
    const char *wanted = getauxval(AT_SECURE) ? NULL : getenv("SOCKS5_FENCE");
    struct s5_filter_options how = {.listens = false};
    if (!wanted || strcmp(wanted, "1") != 0 || s5_fence() != S5_FENCE_NONE)
        return;
    s5_fence_rules_apply(&how, s5_engine_load(e));
    int r = s5_fence_install(&how, true, NULL);
    if (r < 0)
        s5_log(&e->log, S5_LOG_ERROR, "no fence: %s", s5_error_text(r));
}

/* The first process of a process tree puts SOCKS5_STATE into its own environment, so that children that no hook sees
 * (system(), popen()) find the shared state too. */
__attribute__((constructor)) static void start_preload(void)
{
    struct s5_engine *e = s5_begin();
    if (e->state[0] && !getenv(S5_SHM_VARIABLE))
        putenv(e->state);
    install_fence(e);
}

const char *s5_start_object(void)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)s5_start_object, &info))
        return NULL;
    return strcmp(info.dli_fname, PRELOAD_PATH) == 0 ? PRELOAD_NAME : info.dli_fname;
}
