/* The preload object begins before main where the loader lets it, and knows what it was loaded
 * as. */
#include "start.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* What the drop-in functions of the library look for: where it is, they leave everything to us. */
EXPORT const int socksify_covers = 1;

/* The first process of a tree tells its children of the tree through its own environment, so that
 * those find it too that are started where no hook sees it (system(), popen()). */
__attribute__((constructor)) static void start(void)
{
    struct s5_engine *e = s5_begin();
    if (e->state[0] && !getenv(S5_SHM_VARIABLE))
        putenv(e->state);
}

const char *s5_start_object(void)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)s5_start_object, &info))
        return NULL;
    return strcmp(info.dli_fname, PRELOAD_PATH) == 0 ? PRELOAD_NAME : info.dli_fname;
}
