/* The steps of a negotiation. */
#ifndef S5_STEP_H
#define S5_STEP_H

#include "negotiation.h"

/* What a turn came to. */
enum s5_step {
    S5_STEP_WAIT,  /* in flight, and nothing moved */
    S5_STEP_MOVED, /* in flight, and octets moved */
    S5_STEP_BUSY,  /* in flight, and another thread is at it */
    S5_STEP_DONE,  /* READY or FAILED, and was not settled before this turn */
    S5_STEP_GONE,  /* settled already, or forgotten: no turn was taken */
};

/* Credentials, methods and pipelining as SERVER and its standing have it; DST is where to.
 * 0, or -errno as s5_session_start. */
int s5_negotiation_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                         const struct s5_addr *dst);

/* The same for BIND: DST is the peer that is expected, or zeros. */
int s5_negotiation_begin_bind(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                              const struct s5_addr *dst);

/* And for UDP ASSOCIATE: DST is zeros. */
int s5_negotiation_begin_udp(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server,
                             const struct s5_addr *dst);

/* Where the server has bound, as its first reply says, for a socket of FAMILY: its own address where that says nothing.
 * 0; -EPROTO: no port; -EAFNOSUPPORT. */
int s5_negotiation_bound_address(const struct s5_negotiation *f, int family, struct s5_endpoint *ret);

/* F, at BIND's first reply, goes on to the second: further turns read it, however long it takes. */
void s5_negotiation_await_next_reply(struct s5_negotiation *f);

/* connect() to the server: blocking as far as FD is, within the flight's deadline and the socket's SO_SNDTIMEO;
 * BRIEF: for a moment, as others are in flight that the wait has to carry on. 0, -EINPROGRESS (also: SO_SNDTIMEO ran
 * out), -EINTR, or the errno of the attempt. */
int s5_negotiation_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, bool nonblock, bool brief);

/* One turn, without blocking; takes and leaves the lock. EVENTS as for s5_complete_step. It is over FD or,
 * where there is a RECORD, over the descriptor that has once the lock is held: until then others may close
 * theirs, and get the number for something else. GONE where RECORD is another connection's by now. */
enum s5_step s5_negotiation_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record, int fd,
                                 short events);

/* The end without success: the socket is dissolved, ERROR (negative errno) is what it came to; or
 * 0: the socket is in the kernel's hands, as after any connect() that failed. */
enum s5_step s5_negotiation_fail(struct s5_engine *e, struct s5_negotiation *f, int fd, int error);

#endif
