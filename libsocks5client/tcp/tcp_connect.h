/* Outgoing TCP connections: connect() to a server, a direct one, and the end of one that is in flight. */
#ifndef S5_TCP_CONNECT_H
#define S5_TCP_CONNECT_H

#include "engine.h"

/* connect() of the TCP socket FD, whose SO_COOKIE is COOKIE (0: not known), to OWN of LEN octets; TO is the same
 * address, or its name where NAMED. OWN and TO become loopback where they are the unspecified address. 0 or -errno. */
int s5_tcp_connect(struct s5_engine *e, int fd, struct sockaddr_storage *own, socklen_t len, struct s5_addr *to,
                   bool named, uint64_t cookie);

/* connect() without a server: to ADDR or, where NAME is not NULL, to the address that libc has for it. PROTOCOL:
 * S5_PROTO_*. 0 or -errno. */
int s5_tcp_connect_direct(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len,
                          const struct s5_addr *name, uint8_t protocol);

/* A blocking connect() on FD, which RECORD stands for and which is in flight: 0, or its error; -EINPROGRESS when
 * SO_SNDTIMEO passed; -EINTR; 1: it is not ours any more. */
int s5_tcp_join(struct s5_engine *e, struct s5_record *record, int fd);

/* Whether FD has O_NONBLOCK. */
bool s5_tcp_nonblocking(struct s5_engine *e, int fd);

/* The same on FD, a stream of the engine's own, to a name server: the question it is for is forwarded. */
int s5_tcp_connect_dns(struct s5_engine *e, int fd, const struct s5_endpoint *server);

/* 0 when octets may pass on FD now; -EAGAIN while in flight and FLAGS (or the description) say not to wait;
 * what a connect() came to that failed, once. Waits for EVENTS of others while something is in flight. */
int s5_tcp_await(struct s5_engine *e, int fd, int flags, short events);

/* A record for FD, in flight with F, whose socket is HELD's: it takes a reference of F over from the caller, also
 * where it fails: -ENOBUFS; -EALREADY: another thread was first. */
int s5_tcp_new_record(struct s5_engine *e, int fd, int held, struct s5_negotiation *f, struct s5_record **ret);

/* FD's negotiation, if it is in flight, to its end: 0 when it is over, whatever it came to; -EAGAIN: it is not, and
 * NONBLOCK or UNTIL passed; -EINTR. The result stays with the socket (connect.c). */
int s5_tcp_finish(struct s5_engine *e, int fd, bool nonblock, uint64_t until);

#endif
