/* A channel that carries the descriptors of the latest BIND between processes, and its wakeup descriptor. */
#ifndef S5_FD_CHANNEL_H
#define S5_FD_CHANNEL_H

#include "engine.h"

/* A new one, hidden. */
int s5_fd_channel_create(struct s5_engine *e);

/* A bell that rings in SECONDS (0: when rung), hidden. */
int s5_fd_channel_wakeup_fd(struct s5_engine *e, unsigned seconds);
void s5_fd_channel_wake(struct s5_engine *e, int wakeup_fd);
void s5_fd_channel_wake_in(struct s5_engine *e, int wakeup_fd, unsigned seconds);
bool s5_fd_channel_is_woken(struct s5_engine *e, int wakeup_fd);

/* CONTROL (-1: none) and BELL take the place of what MAILBOX held. */
int s5_fd_channel_put(struct s5_engine *e, int channel_fd, uint32_t serial, int control, int wakeup_fd);

/* Copies of what it holds, hidden. 0, or -errno (-EAGAIN: nothing). */
int s5_fd_channel_get(struct s5_engine *e, int channel_fd, uint32_t *ret_serial, int *ret_control, int *ret_bell);

#endif
