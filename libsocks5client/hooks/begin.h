/* The engine of this process, and what the process began with. */
#ifndef S5_BEGIN_H
#define S5_BEGIN_H

#include "engine.h"

#define HIDDEN __attribute__((visibility("hidden"))) /* reached without the table of symbols */

extern HIDDEN struct s5_engine s5_begin_engine;

/* The engine, begun: a call may come before any constructor ran. The mark is 2 then; in the copy of a process that
 * was made past pthread_atfork()'s handlers (clone(), a system call of the program's own) it is 0 again, since the
 * kernel clears its page. */
extern HIDDEN _Atomic int *_Atomic s5_begin_mark;
struct s5_engine *s5_begin_now(void);
static inline struct s5_engine *s5_begin(void)
{
    const _Atomic int *mark = atomic_load_explicit(&s5_begin_mark, memory_order_acquire);
    return __builtin_expect(atomic_load_explicit(mark, memory_order_acquire) == 2, 1) ? &s5_begin_engine
                                                                                      : s5_begin_now();
}

/* Set while this thread is in a function that tells whether a fork failed (preload/fork.c): else errno does. */
extern HIDDEN __thread bool s5_begin_fork_watched __attribute__((tls_model("initial-exec")));
/* This process is a copy of another one from now on, unless it knows that already. */
void s5_begin_forked(void);

#define S5_BEGIN_KEPT 10 /* variables of ours: a child gets them back when its environment was cleaned */

/* Copies of them, "NAME=VALUE", as they were at the beginning. */
char *const *s5_begin_kept(int *ret_count);

/* The path of the object this is in. */
const char *s5_begin_object(void);

#endif
