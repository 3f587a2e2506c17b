/* The steps of a negotiation. */
#ifndef S5_STEP_H
#define S5_STEP_H

#include "attempt.h"

/* The result of a step. */
enum s5_step {
    S5_STEP_WAIT,  /* in flight, no octets moved */
    S5_STEP_MOVED, /* in flight, octets moved */
    S5_STEP_BUSY,  /* in flight, another thread is stepping it */
    S5_STEP_DONE,  /* READY or FAILED, and not completed before this step */
    S5_STEP_GONE,  /* completed or forgotten before: no step was taken */
};

/* Takes one step, without blocking. Acquires and releases the lock. EVENTS as for s5_complete_step(). The step uses FD
 * or, if RECORD is not NULL, the descriptor that RECORD has once the lock is held: until then other threads may close
 * theirs and reuse the number. GONE: RECORD belongs to another connection by now. */
enum s5_step s5_negotiation_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record, int fd,
                                 short events);

#endif
