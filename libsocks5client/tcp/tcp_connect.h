/* Outgoing TCP connections: connect() through a server, a direct one, and the end of one that is in flight. */
#ifndef S5_TCP_CONNECT_H
#define S5_TCP_CONNECT_H

#include "engine.h"

/* connect() of the TCP socket FD, whose SO_COOKIE is COOKIE (0: unknown), to OWN of LEN octets. TO is the same address
 * or, if NAMED, its name. If OWN and TO are the unspecified address, they become loopback. 0 or -errno. */
int s5_tcp_connect(struct s5_engine *e, int fd, struct sockaddr_storage *own, socklen_t len, struct s5_addr *to,
                   bool named, uint64_t cookie);

/* connect() without a server: to ADDR or, if NAME is not NULL, to the address to which libc resolves it. PROTOCOL:
 * S5_PROTO_*. 0 or -errno. */
int s5_tcp_connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name, uint8_t protocol);

/* A blocking connect() on FD, whose RECORD is in flight. 0 or its error; -EINPROGRESS: SO_SNDTIMEO expired; -EINTR; 1:
 * another thread has fetched the result, or closed FD. */
int s5_tcp_join(struct s5_engine *e, struct s5_record *record, int fd);

/* Whether FD has O_NONBLOCK. */
bool s5_tcp_nonblocking(struct s5_engine *e, int fd);

/* s5_tcp_connect() on FD, a stream of the engine, to the name server SERVER, to which a question is forwarded. */
int s5_tcp_connect_dns(struct s5_engine *e, int fd, const struct s5_endpoint *server);

/* Waits until octets may pass on FD. 0: they may; -EAGAIN: in flight, and FLAGS or the description request not to
 * wait; the error of a connect() that failed, once. While others are in flight, waits for EVENTS and continues them. */
int s5_tcp_await(struct s5_engine *e, int fd, int flags, short events);

/* Makes a record for FD, in flight with F, whose socket is HELD's. The record takes over a reference of F from the
 * caller, also on failure. 0; -ENOBUFS; -EALREADY: another thread was first. */
int s5_tcp_new_record(struct s5_engine *e, int fd, int held, struct s5_negotiation *f, struct s5_record **ret);

/* Drives FD's negotiation to its end, if it is in flight. 0: it is over, with any result; -EAGAIN: it is not, and
 * NONBLOCK is set or UNTIL (ns) passed; -EINTR. The result remains in the record (complete.c). */
int s5_tcp_finish(struct s5_engine *e, int fd, bool nonblock, uint64_t until);

#endif
