/* System calls with the key of the fence. */
#ifndef S5_KEYED_H
#define S5_KEYED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum s5_fence {
    S5_FENCE_UNKNOWN, /* nobody asked yet */
    S5_FENCE_NONE,
    S5_FENCE_SILENT, /* refused calls fail at once */
    S5_FENCE_WATCHED /* refused calls are reported to a companion */
};

/* What surrounds this process. It may change from NONE to another, never back. */
extern __attribute__((visibility("hidden"))) _Atomic int s5_fence_state;

/* Asks the filter where the state is not known yet: fourteen system calls, once in a program. Preserves errno. */
enum s5_fence s5_fence_ask(void);
static inline enum s5_fence s5_fence(void)
{
    int state = atomic_load_explicit(&s5_fence_state, memory_order_acquire);
    return __builtin_expect(state != S5_FENCE_UNKNOWN, 1) ? (enum s5_fence)state : s5_fence_ask();
}
/* A load and a branch: false if it is known that there is no fence. */
static inline bool s5_fence_possible(void)
{
    return atomic_load_explicit(&s5_fence_state, memory_order_relaxed) != S5_FENCE_NONE;
}
/* Forgets the state: this process has installed a filter. */
void s5_fence_changed(void);

/* The kernel's connect(), sendmsg(), sendmmsg() and listen() with the key, for a process within a fence. The result is
 * that of libc's functions, errno included. All but listen() are cancellation points. What ADDR and MSG point to, and
 * all that they name, must be the caller's own copies: the key is bound to the pointer, and another thread must not be
 * able to change the destination afterwards. */
int s5_keyed_connect(int fd, const struct sockaddr *addr, socklen_t len);
ssize_t s5_keyed_sendmsg(int fd, const struct msghdr *msg, int flags);
int s5_keyed_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int s5_keyed_listen(int fd, int backlog);

/* connect(S5_FILTER_CALL): a socket to the companion, or -errno. */
int s5_keyed_call(void);

#endif
