/* What the process began with, for those it starts. */
#ifndef S5_PRELOAD_START_H
#define S5_PRELOAD_START_H

#include "real.h"

#define S5_KEPT 9 /* variables of ours that a child gets back when its environment was cleaned */

/* Copies of them, "NAME=VALUE", as they were at the beginning. */
char *const *s5_start_kept(int *ret_count);

/* The path this object was loaded from, as LD_PRELOAD says it: where it is installed, that may hold
 * $LIB, which the loader puts the architecture's folder in place of. */
const char *s5_start_object(void);

#endif
