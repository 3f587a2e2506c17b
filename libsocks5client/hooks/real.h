/* libc's functions for the engine, and what every hook is made of.
 *
 * The hooks are built twice from the same files: for the preload object, under libc's names, and as the drop-in
 * functions of the library (S5_DROP), with an R in front. */
#ifndef S5_REAL_H
#define S5_REAL_H

#include "begin.h"
#include <errno.h>
#include <stdbool.h>

#ifndef S5_DROP
#define S5_DROP 0
#endif
#if S5_DROP
#define S5_REAL_PREFIX "R"
#else
#define S5_REAL_PREFIX ""
#endif
#include "registry.h"
#include "time32.h"

#define EXPORT __attribute__((visibility("default")))

/* Filled on first use, symbol by symbol. At start every member is a function that looks its symbol up, stores it in the
 * member and calls it. */
extern LOCAL_SYMBOL struct s5_calls s5_real;

/* For the drop-in functions: false where the preload object covers the process. They then call that object's hooks, as
 * the program's own calls do. No call goes through two engines. */
bool s5_real_alone(void);

/* The next definition of NAME after this object's, or NULL; to be cast. The first of all where s5_real_alone() is false
 * for the drop-in functions. Preserves errno. */
typedef void (*s5_real_fn)(void);
s5_real_fn s5_real_find(const char *name);

/* Defines REAL, a function that returns RET and takes PARAMS: the next definition of SYMBOL. It is looked up once, by
 * any thread or by several. */
#define S5_NEXT(real, symbol, ret, params)                                                                             \
    static _Atomic(s5_real_fn) real##_found;                                                                           \
    ret(*real) params = (ret(*) params)s5_real_once(&real##_found, symbol)

static inline s5_real_fn s5_real_once(_Atomic(s5_real_fn) *found, const char *symbol)
{
    s5_real_fn real = atomic_load_explicit(found, memory_order_relaxed);
    if (__builtin_expect(!real, 0)) {
        real = s5_real_find(symbol);
        atomic_store_explicit(found, real, memory_order_relaxed);
    }
    return real;
}

/* An exported hook: NAME with the prefix for the linker, hook_NAME in C, since libc's headers may declare NAME in terms
 * of their own (transparent unions, varying prototypes). */
#define HOOK(ret, name, params)                                                                                        \
    EXPORT ret hook_##name params __asm__(S5_REAL_PREFIX S5_SECOND(S5_WIDE_##name, #name, ));                          \
    EXPORT ret hook_##name params

/* The same for a function exported as SYMBOL. */
#define HOOK_AS(ret, name, symbol, params)                                                                             \
    EXPORT ret hook_##name params __asm__(S5_REAL_PREFIX symbol);                                                      \
    EXPORT ret hook_##name params

/* Another exported name of the hook OF, in the same file. The drop-in functions have one name each. For a function that
 * libc has in two widths this defines no name, see time32.h. */
#if S5_DROP
#define ALIAS(name, of)
#else
#define ALIAS(name, of)     S5_THIRD(S5_WIDE_##of, ALIAS_NONE, ALIAS_ONE, )(name, of)
#define ALIAS_ONE(name, of) EXPORT __typeof__(hook_##of) alias_##name __asm__(#name) __attribute__((alias(#of)));
#define ALIAS_NONE(name, of)
#endif

/* Converts RESULT of the engine to what a function of libc returns: -errno to -1 and errno. errno is unchanged on
 * success. */
static inline long s5_hook_result(long result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

/* The gates: what a hook checks first, with a load or two and a branch. */
static inline bool s5_gate_open(void)
{
    return !S5_DROP || s5_real_alone();
}
static inline bool s5_gate_in_flight(void)
{
    return __builtin_expect(s5_registry_any_in_flight(&s5_begin_engine.registry), 0);
}
static inline bool s5_gate_waits(void)
{
    return __builtin_expect(s5_registry_waits(&s5_begin_engine.registry), 0);
}
static inline bool s5_gate_stream(int fd)
{
    return __builtin_expect(s5_registry_streams(&s5_begin_engine.registry, fd), 0);
}
static inline bool s5_gate_internal(int fd)
{
    /* One comparison. Without shared state shm_fd is -1, and descriptor 0 passes the gate too. */
    unsigned shm_fd = (unsigned)atomic_load_explicit(&s5_begin_engine.shm_fd, memory_order_relaxed);
    return (unsigned)fd - shm_fd < S5_SHM_FDS;
}
static inline bool s5_gate_ours(int fd)
{
    return __builtin_expect(!s5_registry_foreign(&s5_begin_engine.registry, fd), 0);
}

#endif
