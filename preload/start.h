/* How this process is covered, for the programs that it starts. */
#ifndef S5_PRELOAD_START_H
#define S5_PRELOAD_START_H

#include "real.h"

/* Defines REAL, libc's NAME with its type. It is looked up once, as with S5_NEXT. */
#define FIND(real, name)                                                                                               \
    static _Atomic(s5_real_fn) real##_found;                                                                           \
    __typeof__(&name) real = (__typeof__(&name))s5_real_once(&real##_found, #name)

/* The path that this object was loaded from, as LD_PRELOAD gives it; NULL: not known. Where the object is installed,
 * the path may contain $LIB, which the loader replaces by the architecture's directory. */
const char *s5_start_object(void);

#endif
