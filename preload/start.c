/* The start of the preload object, before main() where the loader allows it, and the path that the object was loaded
 * from. */
#include "start.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The drop-in functions of the library look for this symbol. Where it exists, they leave everything to the preload
 * object. */
EXPORT const int socksify_covers = 1;

/* The first process of a process tree puts SOCKS5_STATE into its own environment, so that children that no hook sees
 * (system(), popen()) find the shared state too. */
__attribute__((constructor)) static void start_preload(void)
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
