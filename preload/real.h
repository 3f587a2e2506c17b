/* The one engine of this process, and libc's functions behind it. */
#ifndef S5_PRELOAD_REAL_H
#define S5_PRELOAD_REAL_H

#include "engine.h"
#include <errno.h>
#include <stdbool.h>

#define EXPORT __attribute__((visibility("default")))
#define HIDDEN __attribute__((visibility("hidden"))) /* reached without the table of symbols */

/* Filled on first use, symbol by symbol: at start every member is a function that looks its symbol
 * up, puts it in its own place and calls it. */
extern HIDDEN struct s5_calls s5_real;

extern HIDDEN struct s5_engine s5_preload_engine;

/* The next definition of NAME after this object's, or NULL; to be cast. Preserves errno. */
typedef void (*s5_real_fn)(void);
s5_real_fn s5_real_find(const char *name);

/* An exported hook: NAME for the linker, hook_NAME in C, where libc's headers may declare NAME in
 * terms of their own (transparent unions, varying prototypes). */
#define HOOK(ret, name, params)                                                                    \
    EXPORT ret hook_##name params __asm__(#name);                                                  \
    EXPORT ret hook_##name params

/* Another exported name of the hook OF, in the same file. */
#define ALIAS(name, of)                                                                            \
    EXPORT __typeof__(hook_##of) alias_##name __asm__(#name) __attribute__((alias(#of)));

/* The engine, begun: a call may come before this object's constructor ran. */
extern HIDDEN _Atomic int s5_preload_begun; /* 0, 1 while it is done, 2 */
struct s5_engine *s5_preload_begin(void);
static inline struct s5_engine *s5_preload(void)
{
    return __builtin_expect(atomic_load_explicit(&s5_preload_begun, memory_order_acquire) == 2, 1)
               ? &s5_preload_engine
               : s5_preload_begin();
}

/* A result as the engine gives it, turned into what a libc function returns; errno is left alone on
 * success. */
static inline long s5_door(long result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

/* The gates: what a hook asks before anything else. A load or two, and a branch. */
static inline bool s5_gate_flying(void)
{
    return __builtin_expect(s5_registry_flying(&s5_preload_engine.registry), 0);
}
static inline bool s5_gate_waits(void)
{
    return __builtin_expect(s5_registry_waits(&s5_preload_engine.registry), 0);
}
static inline bool s5_gate_stream(int fd)
{
    return __builtin_expect(s5_registry_streams(&s5_preload_engine.registry, fd), 0);
}
static inline bool s5_gate_hidden(int fd)
{
    return fd == atomic_load_explicit(&s5_preload_engine.tree_fd, memory_order_relaxed);
}
static inline bool s5_gate_ours(int fd)
{
    return __builtin_expect(!s5_registry_foreign(&s5_preload_engine.registry, fd), 0);
}

#endif
