/* What posix_spawn() changes in the child before it starts the program. */
#ifndef S5_PRELOAD_SPAWN_ACTIONS_H
#define S5_PRELOAD_SPAWN_ACTIONS_H

#include "program.h"
#include <spawn.h>

/* Sets in PLACE the directory and the IDs that a program gets by ACTIONS and ATTR, which may be NULL. The caller closes
 * PLACE->dir if that is a descriptor. Returns 0, or -errno of an action: most likely it fails in the child, too.
 * Preserves errno. */
int s5_spawn_actions_place(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                           struct s5_program_place *place);

#endif
