/* poll() and select(). The results are those of ppoll() and pselect(), or -errno. */
#ifndef S5_POLL_SELECT_H
#define S5_POLL_SELECT_H

#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <time.h>

struct s5_engine;

int s5_wait_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                 const sigset_t *mask);
int s5_wait_select(struct s5_engine *e, int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
                   const sigset_t *mask);

#endif
