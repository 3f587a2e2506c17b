/* Nothing of it is loaded in a process that does not use GSSAPI; its symbols stay out of the
 * program's own name space. */
#include "library.h"
#include <dlfcn.h>
#include <pthread.h>

#define SONAME "libgssapi_krb5.so.2"

static struct s5_gss_library library;
static const char *why;
static char why_text[256];

static void load(void)
{
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    why = handle ? NULL : dlerror();
#define FIND(name)                                                                                                     \
    if (handle && !why) {                                                                                              \
        *(void **)&library.name = dlsym(handle, #name);                                                                \
        if (!library.name)                                                                                             \
            why = SONAME " lacks " #name;                                                                              \
    }
    S5_GSS_FUNCTIONS(FIND)
#undef FIND
    if (!why)
        return;
    size_t n = 0; /* dlerror's words do not last */
    for (; why[n] && n < sizeof why_text - 1; n++)
        why_text[n] = why[n];
    why = why_text;
    if (handle)
        dlclose(handle);
}

const struct s5_gss_library *s5_library_get(const char **ret_why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *ret_why = why;
    return why ? NULL : &library;
}
