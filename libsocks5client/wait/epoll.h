/* epoll_ctl() and epoll_wait(). The results are those of libc, or -errno. */
#ifndef S5_EPOLL_H
#define S5_EPOLL_H

#include "engine.h"
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

/* --- epoll.c --- */
int s5_epoll_ctl(struct s5_engine *e, int ep, int op, int fd, struct epoll_event *event);

/* N events that a real wait on EP has already returned (0: none yet) are processed first. */
int s5_epoll_wait(struct s5_engine *e, int ep, struct epoll_event *events, int max, int n,
                  const struct timespec *timeout, const sigset_t *mask);

#endif
