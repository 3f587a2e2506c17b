/* What the engine does around a fork. */
#ifndef S5_FORKING_H
#define S5_FORKING_H

#include "engine.h"

/* Before a fork; after it in the parent (or where it FAILED), and in the child. */
void s5_engine_fork_prepare(struct s5_engine *e);
void s5_engine_fork_parent(struct s5_engine *e, bool failed);
void s5_engine_fork_child(struct s5_engine *e);

/* Once a process: take up the tree STATE names or begin one. STATE: value of S5_SHM_VARIABLE, or
 * NULL. Never fails: what could not be had makes later calls fail. */
void s5_engine_init(struct s5_engine *e, const struct s5_calls *real, const char *state);

#endif
