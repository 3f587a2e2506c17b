/* Negotiations in flight while a call of the program waits.
 *
 * A negotiation that no blocking connect() drives makes progress in the calls that wait: poll, select and epoll of any
 * descriptors, and blocking calls on other sockets. Each of them also waits for the descriptors in flight, steps what
 * becomes ready, and reports nothing of it. */
#ifndef S5_INFLIGHT_H
#define S5_INFLIGHT_H

#include "engine.h"
#include "registry.h"

#define S5_POLLSET_NEAR 128

/* Descriptors to wait for: the caller's, followed by those that a round adds. Call begin, add and end. */
struct s5_pollset {
    struct pollfd *fds; /* near, or mapped memory */
    nfds_t n, capacity;
    uint32_t completed; /* negotiations that had ended when the caller's descriptors were checked */
    bool poll_interval; /* one of the caller's descriptors waits for octets that another thread may read */
    struct pollfd near[S5_POLLSET_NEAR];
};

static inline void s5_pollset_begin(struct s5_pollset *set)
{
    set->fds = set->near;
    set->n = 0;
    set->capacity = S5_POLLSET_NEAR;
}
/* To be called before the caller checks its descriptors and adds them: a negotiation that ends from now on ends the
 * next round. */
static inline void s5_pollset_look(struct s5_engine *e, struct s5_pollset *set)
{
    set->completed = s5_registry_completed(&e->registry);
    set->poll_interval = false;
    set->n = 0;
}
/* 0 or -ENOMEM. */
int s5_pollset_add(struct s5_pollset *set, int fd, short events);
void s5_pollset_end(struct s5_pollset *set);

/* Whether a call that waits has a negotiation to continue. */
bool s5_inflight_any(struct s5_engine *e);

/* Whether a thread of this process drives F in a blocking call. Other calls do not step F then. */
static inline bool s5_inflight_driven(const struct s5_engine *e, const struct s5_negotiation *f)
{
    uint32_t driver = atomic_load_explicit(&f->driver, memory_order_relaxed);
    return driver && driver == atomic_load_explicit(&e->process_number, memory_order_relaxed);
}

/* Returns the time (ns) at which a step is due. *RET_BESIDE: something is in flight that the epoll instance EP does
 * not watch. */
uint64_t s5_inflight_due(struct s5_engine *e, int ep, bool *ret_beside);
/* Takes the steps that are due at NOW (ns). */
void s5_inflight_expire(struct s5_engine *e, uint64_t now);

/* One round: waits, like ppoll(), until UNTIL (ns) for the descriptors of SET and for all that is in flight, and steps
 * what is ready or due. What the epoll instance EP watches is not added (-1: there is none). Returns how many of SET
 * are ready; 0: none yet; -errno. *RET_ENDED becomes true if a negotiation ended. */
int s5_inflight_round(struct s5_engine *e, struct s5_pollset *set, int ep, uint64_t until, const sigset_t *mask,
                      bool *ret_ended);

/* The same for N descriptors of the caller, in place of ppoll(). */
int s5_inflight_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, uint64_t until);

/* Returns the time (ns) until which a call on FD may block, according to the application's OPTION, S5_RCVTIMEO or
 * S5_SNDTIMEO. */
uint64_t s5_inflight_block_until(struct s5_engine *e, int fd, int option);

/* To be called before a call on FD that may block: waits for EVENTS until the call would not block. Does not wait if
 * nothing is in flight or FD is non-blocking. 0: the call can be made; -EAGAIN: the socket's timeout OPTION expired;
 * -EINTR. Preserves errno. */
int s5_inflight_await(struct s5_engine *e, int fd, short events, int option);

/* A blocking connect() of FD, a stream, without a server. 0 or -errno. */
int s5_inflight_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);

/* Whether a call that a signal interrupted is restarted: no handler of the program asks for EINTR. */
bool s5_inflight_restarts(void);

#endif
