/* What the engine does at the start of a process and around a fork. */
#ifndef S5_FORKING_H
#define S5_FORKING_H

#include "engine.h"

/* To be called before a fork; after it in the parent, FAILED where it failed; and after it in the child. */
void s5_engine_fork_prepare(struct s5_engine *e);
void s5_engine_fork_parent(struct s5_engine *e, bool failed);
void s5_engine_fork_child(struct s5_engine *e);

/* To be called once in a process: attaches to the shared memory that STATE names, or makes new shared memory. STATE:
 * value of S5_SHM_VARIABLE, or NULL. It does not fail: calls that need what is missing fail later. Preserves errno. */
void s5_engine_init(struct s5_engine *e, const struct s5_calls *real, const char *state);

#endif
