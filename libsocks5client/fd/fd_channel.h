/* The descriptor channel of a listener, which carries the descriptors of its latest BIND between processes, and wakeup
 * descriptors. */
#ifndef S5_FD_CHANNEL_H
#define S5_FD_CHANNEL_H

#include "engine.h"

/* Makes a channel. Returns an internal descriptor, or -errno. */
int s5_fd_channel_create(struct s5_engine *e);

/* Makes a wakeup descriptor, which becomes readable in SECONDS (0: when woken). Returns an internal descriptor, or
 * -errno. wake makes it readable now, wake_in in SECONDS. is_woken returns whether it is readable. */
int s5_fd_channel_wakeup_fd(struct s5_engine *e, unsigned seconds);
void s5_fd_channel_wake(struct s5_engine *e, int wakeup_fd);
void s5_fd_channel_wake_in(struct s5_engine *e, int wakeup_fd, unsigned seconds);
bool s5_fd_channel_is_woken(struct s5_engine *e, int wakeup_fd);

/* Replaces the message in CHANNEL_FD by one with CONTROL (-1: none), WAKEUP_FD and SERIAL. Returns 0, or -errno. */
int s5_fd_channel_put(struct s5_engine *e, int channel_fd, uint32_t serial, int control, int wakeup_fd);

/* Copies the message: its serial, and duplicates of its descriptors, which are internal; -1: none. Returns 0, or -errno
 * (-EAGAIN: there is no message). */
int s5_fd_channel_get(struct s5_engine *e, int channel_fd, uint32_t *ret_serial, int *ret_control, int *ret_wakeup_fd);

#endif
