/* What the process is covered by, for those it starts. */
#ifndef S5_PRELOAD_START_H
#define S5_PRELOAD_START_H

#include "real.h"

/* A variable for libc's NAME, of its type. */
#define FIND(real, name) __typeof__(&name) real = (__typeof__(&name))s5_real_find(#name)

/* The path this object was loaded from, as LD_PRELOAD says it: where it is installed, that may hold
 * $LIB, which the loader puts the architecture's folder in place of. */
const char *s5_start_object(void);

#endif
