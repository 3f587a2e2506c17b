/* Looks libc's functions up: on first use, since each look-up costs about a thousand instructions and most programs
 * need few functions; without a lock, since every thread finds the same. */
#include "real.h"
#include "keyed.h"
#include <dlfcn.h>

bool s5_real_alone(void)
{
    static _Atomic int known; /* 0: not yet, 1: alone, 2: covered */
    int saved = errno, is = atomic_load_explicit(&known, memory_order_relaxed);
    if (is == 0) {
        is = dlsym(RTLD_DEFAULT, "socksify_covers") ? 2 : 1;
        atomic_store_explicit(&known, is, memory_order_relaxed);
        errno = saved;
    }
    return is == 1;
}

s5_real_fn s5_real_find(const char *name)
{
    int saved = errno;
    union {
        void *object;
        s5_real_fn function;
    } found = {dlsym(s5_gate_open() ? RTLD_NEXT : RTLD_DEFAULT, name)};
    errno = saved;
    return found.function;
}

/* Within a fence a S5_KEYED row is the call with the key. The drop-in functions of a covered process call the hooks. */
#define S5_KEYED(ret, name, params, args)                                                                              \
    static ret find_keyed_##name params                                                                                \
    {                                                                                                                  \
        if (s5_gate_open() && s5_fence() != S5_FENCE_NONE)                                                             \
            return (s5_real.keyed_##name = s5_keyed_##name)args;                                                       \
        ret(*found) params = (ret(*) params)s5_real_find(#name);                                                       \
        if (!found) {                                                                                                  \
            errno = ENOSYS;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        __atomic_store_n(&s5_real.keyed_##name, found, __ATOMIC_RELAXED);                                              \
        return found args;                                                                                             \
    }
#define S5_CALL(ret, name, params, args)                                                                               \
    static ret find_##name params                                                                                      \
    {                                                                                                                  \
        ret(*found) params = (ret(*) params)s5_real_find(S5_SYMBOL(name));                                             \
        if (!found) {                                                                                                  \
            errno = ENOSYS;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        __atomic_store_n(&s5_real.name, found, __ATOMIC_RELAXED);                                                      \
        return found args;                                                                                             \
    }
#include "system_calls.def"

struct s5_calls s5_real = {
#define S5_CALL(ret, name, params, args) .name = find_##name,
#include "system_calls.def"
};

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer takes the plain reads of the table for races. To report one, or to find that it is suppressed,
 * ThreadSanitizer reads a file, whose close() is hooked and reads the table: a deadlock. The table is therefore filled
 * before there are threads. */
__attribute__((constructor)) static void fill_all(void)
{
#define S5_KEYED(ret, name, params, args)                                                                              \
    s5_real.keyed_##name = s5_gate_open() && s5_fence() != S5_FENCE_NONE ? s5_keyed_##name : s5_real.name;
#define S5_CALL(ret, name, params, args)                                                                               \
    {                                                                                                                  \
        ret(*found) params = (ret(*) params)s5_real_find(S5_SYMBOL(name));                                             \
        if (found)                                                                                                     \
            s5_real.name = found;                                                                                      \
    }
#include "system_calls.def"
}
#endif
