/* dlopen() and dlmopen(). A plug-in must find the hooks before libc's functions. Two requests would prevent that:
 * RTLD_DEEPBIND, with which a plug-in finds the functions of its own dependencies first, and another namespace, which
 * has a libc of its own and no preload object. The flag is removed, and the base namespace is used.
 *
 * libc finds the caller by the return address: the caller's RUNPATH, its $ORIGIN and its namespace apply. The hooks
 * must therefore not be in between. They are in assembly (plugins.S): they call the functions below, which change the
 * arguments, and then jump to libc's function with the caller's return address. A compiler does not guarantee that for
 * C, and does not do it at all with a sanitizer. */
#include "plugins.h"
#include "start.h"
#include <dlfcn.h>

s5_real_fn s5_plugins_dlopen(long *arguments)
{
    enum { path, mode };
    FIND(real, dlopen);
    (void)path;
    arguments[mode] &= ~(long)RTLD_DEEPBIND;
    return (s5_real_fn)real;
}

/* Without a path, or with RTLD_GLOBAL, libc refuses another namespace. It must do so here too. */
s5_real_fn s5_plugins_dlmopen(long *arguments)
{
    enum { namespace, path, mode };
    FIND(real, dlmopen);
    arguments[mode] &= ~(long)RTLD_DEEPBIND;
    if (arguments[path] && !(arguments[mode] & RTLD_GLOBAL))
        arguments[namespace] = LM_ID_BASE;
    return (s5_real_fn)real;
}
