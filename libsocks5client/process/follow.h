/* A process takes the policies that reloads make for its process tree. */
#ifndef S5_FOLLOW_H
#define S5_FOLLOW_H

#include "engine.h"

/* Takes the newest policy of the process tree, if this process does not have it. With "reload = auto" it also looks
 * whether the file has changed, at most once a second in the whole tree. Other threads use the policy before it
 * meanwhile. The policy is loaded. Preserves errno. */
void s5_follow(struct s5_engine *e);

#endif
