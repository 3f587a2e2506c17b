/* Look-ups for which libc would send queries. Within the fence the kernel refuses those, and the companion makes the
 * look-ups. */
#ifndef S5_OUTSIDE_H
#define S5_OUTSIDE_H

#include "companion_request.h"
#include "keyed.h"
#include "names.h"

/* Returns true if the companion answers what ANSWER leaves to libc. */
static inline bool s5_outside_answers(const struct s5_names_answer *answer)
{
    return answer->queries && s5_fence() == S5_FENCE_WATCHED;
}

/* Returns true if the companion finds the name of ADDR: libc would send a query. */
bool s5_outside_knows(const struct s5_addr *addr);

/* Replaces ADDR by its name. FLAGS: NI_*. Returns 0 or EAI_*. */
int s5_outside_name(struct s5_addr *addr, int flags);

#endif
