/* The steps of a negotiation. */
#ifndef S5_STEP_H
#define S5_STEP_H

#include "negotiation.h"

/* The result of a step. */
enum s5_step {
    S5_STEP_WAIT,  /* in flight, no octets moved */
    S5_STEP_MOVED, /* in flight, octets moved */
    S5_STEP_BUSY,  /* in flight, another thread is stepping it */
    S5_STEP_DONE,  /* READY or FAILED, and not completed before this step */
    S5_STEP_GONE,  /* completed or forgotten before: no step was taken */
};

/* Begins F with the credentials and methods of SERVER, and with pipelining as SERVER and the server cache have it.
 * DST: the destination. 0, or -errno as of s5_session_start(). */
int s5_negotiation_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                         const struct s5_addr *dst);

/* The same for BIND. DST: the peer that is expected, or zeros. */
int s5_negotiation_begin_bind(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                              const struct s5_addr *dst);

/* The same for UDP ASSOCIATE. DST: zeros. */
int s5_negotiation_begin_udp(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                             const struct s5_addr *dst);

/* Stores in *RET the address that the server has bound, according to its first reply, for a socket of FAMILY. If the
 * reply has no address, it is the server's own. 0; -EPROTO: no port; -EAFNOSUPPORT. */
int s5_negotiation_bound_address(const struct s5_negotiation *f, int family, struct s5_endpoint *ret);

/* Continues F after the first reply of BIND: further steps read the second reply, without a deadline. */
void s5_negotiation_await_next_reply(struct s5_negotiation *f);

/* Calls connect() to the server. It blocks as far as FD does (NONBLOCK: FD does not), within the server's timeout and
 * the socket's SO_SNDTIMEO. BRIEF: it blocks for 1 us only, since others are in flight that the wait must continue. 0,
 * -EINPROGRESS (also: SO_SNDTIMEO expired), -EINTR, or the error of the attempt. */
int s5_negotiation_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, bool nonblock, bool brief);

/* Takes one step, without blocking. Acquires and releases the lock. EVENTS as for s5_complete_step(). The step uses FD
 * or, if RECORD is not NULL, the descriptor that RECORD has once the lock is held: until then other threads may close
 * theirs and reuse the number. GONE: RECORD belongs to another connection by now. */
enum s5_step s5_negotiation_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record, int fd,
                                 short events);

/* Ends F without success. ERROR (a negative errno): the socket is disconnected, and ERROR is the result. 0: the kernel
 * keeps the error, as after any connect() that failed. Returns S5_STEP_DONE. */
enum s5_step s5_negotiation_fail(struct s5_engine *e, struct s5_negotiation *f, int fd, int error);

#endif
