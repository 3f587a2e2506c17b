/* dlopen() and dlmopen(): plug-ins that find the hooks. */
#ifndef S5_PRELOAD_PLUGINS_H
#define S5_PRELOAD_PLUGINS_H

#include "real.h"

/* Called by the hooks of plugins.S. ARGUMENTS are those of the hook, a long each, and are changed. Returns libc's
 * function, which the hook jumps to. */
LOCAL_SYMBOL s5_real_fn s5_plugins_dlopen(long *arguments);
LOCAL_SYMBOL s5_real_fn s5_plugins_dlmopen(long *arguments);

#endif
