/* A channel that carries the descriptors of the latest BIND between processes, and its wakeup descriptor. */
#ifndef S5_FD_CHANNEL_H
#define S5_FD_CHANNEL_H

#include "engine.h"

/* A new one, hidden. */
int s5_mailbox_make(struct s5_engine *e);

/* A bell that rings in SECONDS (0: when rung), hidden. */
int s5_mailbox_bell(struct s5_engine *e, unsigned seconds);
void s5_mailbox_ring(struct s5_engine *e, int bell);
void s5_mailbox_ring_in(struct s5_engine *e, int bell, unsigned seconds);
bool s5_mailbox_rang(struct s5_engine *e, int bell);

/* CONTROL (-1: none) and BELL take the place of what MAILBOX held. */
int s5_mailbox_put(struct s5_engine *e, int mailbox, uint32_t serial, int control, int bell);

/* Copies of what it holds, hidden. 0, or -errno (-EAGAIN: nothing). */
int s5_mailbox_look(struct s5_engine *e, int mailbox, uint32_t *ret_serial, int *ret_control,
                    int *ret_bell);

#endif
