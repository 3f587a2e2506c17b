/* sendmsg(), recvmsg() and related calls, where the message carries descriptors (SCM_RIGHTS) of sockets with a record.
 * The results are those of the libc calls, or -errno. */
#ifndef S5_PASS_H
#define S5_PASS_H

#include "engine.h"
#include "user_memory.h"

#define S5_PASS_CONTROL_MOST (1u << 20) /* octets of control messages: more than any kernel accepts */

/* Whether all of MSG is known to be readable. */
static inline bool s5_pass_knows(const struct msghdr *msg)
{
    uintptr_t first = (uintptr_t)msg;
    return s5_user_knows(first, S5_USER_READ) && s5_user_knows(first + sizeof *msg - 1, S5_USER_READ);
}
/* Whether MSG may carry descriptors. False if it cannot be read: the kernel reports the error. */
static inline bool s5_pass_carries(const struct msghdr *msg)
{
    return s5_user_may(msg, sizeof *msg, S5_USER_READ) && msg->msg_control &&
           msg->msg_controllen > sizeof(struct cmsghdr) && msg->msg_controllen <= S5_PASS_CONTROL_MOST &&
           s5_user_may(msg->msg_control, msg->msg_controllen, S5_USER_READ);
}
/* Whether a descriptor that arrives may be a socket of the engine's. */
static inline bool s5_pass_expects(const struct s5_engine *e)
{
    const struct s5_shm *shm = atomic_load_explicit(&e->shm, memory_order_acquire);
    return shm && atomic_load_explicit(&shm->passed_ever, memory_order_relaxed) != 0;
}

ssize_t s5_pass_sendmsg(struct s5_engine *e, int fd, const struct msghdr *msg, int flags);
int s5_pass_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags);
ssize_t s5_pass_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags);
int s5_pass_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags,
                     struct timespec *timeout);
int s5_pass_pidfd_getfd(struct s5_engine *e, int pidfd, int fd, unsigned flags);

/* Releases the references that are held for messages, where these were received or never will be. */
void s5_pass_tidy_now(struct s5_engine *e) __attribute__((noinline, cold));
static inline void s5_pass_tidy(struct s5_engine *e)
{
    if (__builtin_expect(atomic_load_explicit(&e->registry.in_transit_count, memory_order_relaxed) != 0, 0))
        s5_pass_tidy_now(e);
}
/* In a child: releases the references for its parent's messages, which the child inherited. */
void s5_pass_fork_child(struct s5_engine *e);

#endif
