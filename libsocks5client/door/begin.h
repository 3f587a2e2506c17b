/* The engine of this process, and what the process began with. */
#ifndef S5_BEGIN_H
#define S5_BEGIN_H

#include "engine.h"

#define HIDDEN __attribute__((visibility("hidden"))) /* reached without the table of symbols */

extern HIDDEN struct s5_engine s5_begin_engine;

/* The engine, begun: a call may come before any constructor ran. */
extern HIDDEN _Atomic int s5_begin_done; /* 0, 1 while it is done, 2 */
struct s5_engine *s5_begin_now(void);
static inline struct s5_engine *s5_begin(void)
{
    return __builtin_expect(atomic_load_explicit(&s5_begin_done, memory_order_acquire) == 2, 1)
               ? &s5_begin_engine
               : s5_begin_now();
}

#define S5_BEGIN_KEPT 10 /* variables of ours: a child gets them back when its environment was cleaned */

/* Copies of them, "NAME=VALUE", as they were at the beginning. */
char *const *s5_begin_kept(int *ret_count);

/* The path of the object this is in. */
const char *s5_begin_object(void);

#endif
