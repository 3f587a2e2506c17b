/* The library is not loaded in a process that does not use GSSAPI. Its symbols are not visible to the program
 * (RTLD_LOCAL). */
#include "library.h"
#include <dlfcn.h>
#include <pthread.h>

#define SONAME "libgssapi_krb5.so.2"

static struct s5_gss_library library;
static const char *load_error;
static char load_error_text[256];

static void load_library(void)
{
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    load_error = handle ? NULL : dlerror();
#define FIND(name)                                                                                                     \
    if (handle && !load_error) {                                                                                       \
        *(void **)&library.name = dlsym(handle, #name);                                                                \
        if (!library.name)                                                                                             \
            load_error = SONAME " lacks " #name;                                                                       \
    }
    S5_GSS_FUNCTIONS(FIND)
#undef FIND
    if (!load_error)
        return;
    size_t n = 0; /* the text of dlerror() does not last */
    for (; load_error[n] && n < sizeof load_error_text - 1; n++)
        load_error_text[n] = load_error[n];
    load_error = load_error_text;
    if (handle)
        dlclose(handle);
}

const struct s5_gss_library *s5_library_get(const char **ret_why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_library);
    *ret_why = load_error;
    return load_error ? NULL : &library;
}
