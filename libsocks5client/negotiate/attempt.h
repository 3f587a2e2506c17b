/* One attempt of a negotiation: a session with a server, and the connection to it. */
#ifndef S5_ATTEMPT_H
#define S5_ATTEMPT_H

#include "engine.h"
#include "negotiation.h"

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
int s5_negotiation_bound_address(const struct s5_engine *e, const struct s5_negotiation *f, int family,
                                 struct s5_endpoint *ret);

/* Continues F after the first reply of BIND: further steps read the second reply, without a deadline. */
void s5_negotiation_await_next_reply(struct s5_negotiation *f);

/* Calls connect() to the server. It blocks as far as FD does (NONBLOCK: FD does not), within the server's timeout and
 * the socket's SO_SNDTIMEO. BRIEF: it blocks for 1 us only, since others are in flight that the wait must continue. 0,
 * -EINPROGRESS (also: SO_SNDTIMEO expired), -EINTR, or the error of the attempt. */
int s5_negotiation_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, bool nonblock, bool brief);

/* For a rule with several servers: F, which has begun with the first one, continues with the others if that fails. */
void s5_negotiation_choose(struct s5_engine *e, struct s5_negotiation *f, const struct s5_choice *choice);

/* F, which has begun, fails at UNTIL (ns) if its server's timeout ends later. */
void s5_negotiation_limit(struct s5_negotiation *f, uint64_t until);

/* Under the lock of F, which failed with a server. use: starts a session with SERVER for the same destination; 0 or
 * -errno. disconnect: disconnects FD for another attempt. */
int s5_negotiation_use(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *server);
void s5_negotiation_disconnect(struct s5_engine *e, struct s5_negotiation *f, int fd);
/* The same, without pipelining, for the server that F has. */
int s5_negotiation_restart(struct s5_engine *e, struct s5_negotiation *f);

/* Connects FD, which is not connected, to the server that F has now. Does not wait. 0: in progress or done; -errno. */
int s5_negotiation_connect_again(struct s5_engine *e, struct s5_negotiation *f, int fd);

/* Ends F without success. ERROR (a negative errno): the socket is disconnected, and ERROR is the result. 0: the kernel
 * keeps the error, as after any connect() that failed. */
void s5_negotiation_fail(struct s5_engine *e, struct s5_negotiation *f, int fd, int error);

/* Returns true if there is something to write. */
static inline bool s5_negotiation_has_output(const struct s5_negotiation *f)
{
    size_t left;
    s5_session_out(&f->session, &left);
    return left || (__builtin_expect(f->chain.n, 0) && f->chain.ahead_sent);
}

/* Sets the fields that waiting threads read without the lock. */
static inline void s5_negotiation_update_wait(struct s5_negotiation *f)
{
    bool writes = atomic_load(&f->phase) <= S5_NEGOTIATION_DIALING || s5_negotiation_has_output(f);
    atomic_store_explicit(&f->poll_events, writes ? POLLOUT : POLLIN, memory_order_relaxed);
    uint64_t due = f->probing && f->probe_until < f->deadline ? f->probe_until : f->deadline;
    atomic_store_explicit(&f->step_due, due, memory_order_relaxed);
}

#endif
