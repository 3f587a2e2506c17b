/* The name server that programs with a resolver of their own talk to: where the rules lead port 53
 * to a server, or nowhere in particular (loopback), their questions are answered here. A, AAAA and
 * PTR come from the stand-ins, other types are asked over TCP, through the server. Nothing is sent
 * to the name server itself. */
#ifndef S5_DNS_ANSWER_H
#define S5_DNS_ANSWER_H

#include "dns.h"
#include "names.h"

#define S5_NAMESERVER_PORT    53
#define S5_NAMESERVER_SOCKETS 1024u /* a process; those behind them are refused */
#define S5_NAMESERVER_ASKED   16u   /* questions one socket may have open, each to a server */
#define S5_NAMESERVER_REPLY   4096  /* octets of a reply over UDP at the most */
#define S5_NAMESERVER_LONG    16384 /* and over TCP */
#define S5_NAMESERVER_SECONDS 5     /* a forwarded question may take to connect; then to be told */

enum s5_asker_kind {
    S5_ASKER_FREE = 0,
    S5_ASKER_CONNECTED, /* datagrams, to one name server */
    S5_ASKER_LOOSE,     /* datagrams, each to one of its own */
    S5_ASKER_STREAM,
};

/* What a socket of a resolver is known by. */
struct s5_asker {
    _Atomic uint32_t kind; /* enum s5_asker_kind */
    struct s5_lock lock; /* of ASKED and IN; held for copying alone */
    struct s5_endpoint self; /* its own address */
    uint32_t at;             /* next of ASKED */
    struct {
        uint16_t id;
        struct s5_endpoint server; /* len 0: free */
    } asked[S5_NAMESERVER_ASKED];  /* LOOSE: whom the questions went to */
    uint32_t have;
    uint8_t in[2 + S5_DNS_QUERY_MAX]; /* STREAM: a question that is not whole yet */
};

/* --- nameserver.c --- */

/* The reply to QUERY of LEN octets, into RET: its length; 0: nothing to reply to; -errno. SERVER:
 * whom the program asks, NULL for one of resolv.conf's. STREAM: over TCP, so that it may be long.
 * May wait while a question is forwarded. */
ssize_t s5_nameserver_reply(struct s5_engine *e, const uint8_t *query, size_t len,
                            const struct s5_endpoint *server, bool stream, uint8_t *ret,
                            size_t size);

/* Whether questions sent to TO (by S5_PROTO_UDP or S5_PROTO_TCP) are answered here. */
bool s5_nameserver_wanted(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol);

/* libc's resolver may ask about NAME by itself: a rule makes it direct, or all names are resolved
 * here. */
bool s5_nameserver_direct(struct s5_engine *e, const char *name);

/* --- nameserver_socket.c: the program's socket, connected to itself, finds the replies in its own
 * receive queue; what it sends is taken and never sent --- */

/* connect() of FD, of S5_PROTO_UDP or S5_PROTO_TCP, to the name server at ADDR. */
int s5_nameserver_connect(struct s5_engine *e, int fd, uint8_t protocol,
                          const struct sockaddr *addr, socklen_t len);

/* What a program sends on FD, as sendmsg(). -ENOTCONN where FD is not such a socket and MSG names
 * no name server (msg_name NULL): the caller goes on as if nothing were. */
ssize_t s5_nameserver_send(struct s5_engine *e, int fd, const struct msghdr *msg, int flags);

/* The same, as sendmmsg(). */
int s5_nameserver_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n,
                           int flags);

/* FD is such a socket; what it is known by, and the record of it. */
bool s5_nameserver_has(struct s5_engine *e, int fd);
struct s5_asker *s5_nameserver_asker(struct s5_engine *e, int fd, struct s5_record **ret_record);

/* True when FD was such a socket, of datagrams, and is none any more: it is to be connected to
 * somebody else. */
bool s5_nameserver_leave(struct s5_engine *e, int fd);

struct s5_kind;
extern const struct s5_kind s5_nameserver_kind; /* nameserver_socket.c */

/* --- nameserver_recv.c: on such a socket; the source of a reply is the name server's --- */
ssize_t s5_nameserver_recvfrom(struct s5_engine *e, int fd, void *buf, size_t n, int flags,
                               struct sockaddr *addr, socklen_t *len);
ssize_t s5_nameserver_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags);
int s5_nameserver_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n,
                           int flags, struct timespec *timeout);

#endif
