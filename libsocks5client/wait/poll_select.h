/* Readiness: the engine's poll(), select() and epoll. */
#ifndef S5_POLL_SELECT_H
#define S5_POLL_SELECT_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

struct s5_engine;

/* A socket's time-outs as options, in the width of a long: known to every kernel, and to emulators that
 * do not know those of 64 bits which 32-bit machines have since. */
#define S5_SNDTIMEO SO_SNDTIMEO_OLD
#define S5_RCVTIMEO SO_RCVTIMEO_OLD
struct s5_timeo {
    long tv_sec, tv_usec;
};

/* --- wait.c: poll() and select() --- */
int s5_wait_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                 const sigset_t *mask);
int s5_wait_select(struct s5_engine *e, int n, fd_set *in, fd_set *out, fd_set *ex,
                   const struct timespec *timeout, const sigset_t *mask);
/* --- epoll.c --- */
int s5_epoll_ctl(struct s5_engine *e, int ep, int op, int fd, struct epoll_event *event);
/* N events that a real wait on EP has returned already (0: none yet) are looked at first. */
int s5_epoll_wait(struct s5_engine *e, int ep, struct epoll_event *events, int max, int n,
                  const struct timespec *timeout, const sigset_t *mask);

#endif
