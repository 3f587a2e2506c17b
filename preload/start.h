/* What the process is covered by, for those it starts. */
#ifndef S5_PRELOAD_START_H
#define S5_PRELOAD_START_H

#include "real.h"

/* REAL, libc's NAME, of its type; looked up once, as with S5_NEXT. */
#define FIND(real, name)                                                                                               \
    static _Atomic(s5_real_fn) real##_found;                                                                           \
    __typeof__(&name) real = (__typeof__(&name))s5_real_once(&real##_found, #name)

/* The path this object was loaded from, as LD_PRELOAD says it: where it is installed, that may hold
 * $LIB, which the loader puts the architecture's folder in place of. */
const char *s5_start_object(void);

#endif
