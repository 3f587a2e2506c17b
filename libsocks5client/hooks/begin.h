/* The engine of this process, and its set-up. */
#ifndef S5_BEGIN_H
#define S5_BEGIN_H

#include "engine.h"

#define LOCAL_SYMBOL __attribute__((visibility("hidden"))) /* accessed without the table of symbols */

extern LOCAL_SYMBOL struct s5_engine s5_begin_engine;

/* The engine, after its set-up: a call may come before any constructor has run. The mark is 2 then. In a copy of the
 * process that was made without the handlers of pthread_atfork() (clone(), or a system call of the program's own) it is
 * 0 again, since the kernel clears its page. */
extern LOCAL_SYMBOL _Atomic int *_Atomic s5_begin_mark;
struct s5_engine *s5_begin_now(void);
static inline struct s5_engine *s5_begin(void)
{
    const _Atomic int *mark = atomic_load_explicit(&s5_begin_mark, memory_order_acquire);
    return __builtin_expect(atomic_load_explicit(mark, memory_order_acquire) == 2, 1) ? &s5_begin_engine
                                                                                      : s5_begin_now();
}

/* Set while this thread is in a function that knows whether a fork failed (preload/fork.c). Otherwise errno decides. */
extern LOCAL_SYMBOL __thread bool s5_begin_fork_watched __attribute__((tls_model("initial-exec")));
/* Sets the engine up for this process, which is a copy of another one, unless that was done already. */
void s5_begin_forked(void);

#define S5_BEGIN_KEPT 10 /* configuration variables: restored for children whose environment was cleaned */

/* The copies of those that were set, "NAME=VALUE", as they were at the set-up. *RET_COUNT: their number. */
char *const *s5_begin_kept(int *ret_count);

/* The path of the object that this code is in; NULL: not known. */
const char *s5_begin_object(void);

#endif
