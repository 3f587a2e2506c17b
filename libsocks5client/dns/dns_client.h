/* The sockets of programs with a DNS resolver of their own. */
#ifndef S5_DNS_CLIENT_H
#define S5_DNS_CLIENT_H

#include "dns.h"
#include "engine.h"

#define S5_DNS_CLIENTS          1024u /* a process; those behind them are refused */
#define S5_DNS_CLIENT_QUESTIONS 16u   /* questions one socket may have open, each to a server */

enum s5_dns_client_kind {
    S5_DNS_CLIENT_FREE = 0,
    S5_DNS_CLIENT_CONNECTED,   /* datagrams, to one name server */
    S5_DNS_CLIENT_UNCONNECTED, /* datagrams, each to one of its own */
    S5_DNS_CLIENT_STREAM,
};

/* What a socket of a resolver is known by. */
struct s5_dns_client {
    _Atomic uint32_t kind;   /* enum s5_dns_client_kind */
    struct s5_lock lock;     /* of ASKED and IN; held for copying alone */
    struct s5_endpoint self; /* its own address */
    uint32_t at;             /* next of ASKED */
    struct {
        uint16_t id;
        struct s5_endpoint server;    /* len 0: free */
    } asked[S5_DNS_CLIENT_QUESTIONS]; /* LOOSE: whom the questions went to */
    uint32_t have;
    uint8_t in[2 + S5_DNS_QUERY_MAX]; /* STREAM: a question that is not whole yet */
};

/* connect() of FD, of S5_PROTO_UDP or S5_PROTO_TCP, to the name server at ADDR. */
int s5_dns_client_connect(struct s5_engine *e, int fd, uint8_t protocol, const struct sockaddr *addr, socklen_t len);

/* What a program sends on FD, as sendmsg(). -ENOTCONN where FD is not such a socket and MSG names
 * no name server (msg_name NULL): the caller goes on as if nothing were. */
ssize_t s5_dns_client_send(struct s5_engine *e, int fd, const struct msghdr *msg, int flags);

/* The same, as sendmmsg(). */
int s5_dns_client_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags);

/* FD is such a socket; what it is known by, and the record of it. */
bool s5_dns_client_is(struct s5_engine *e, int fd);
struct s5_dns_client *s5_dns_client_of(struct s5_engine *e, int fd, struct s5_record **ret_record);

/* True when FD was such a socket, of datagrams, and is none any more: it is to be connected to
 * somebody else. */
bool s5_dns_client_release(struct s5_engine *e, int fd);

struct s5_kind;
extern const struct s5_kind s5_dns_kind; /* nameserver_socket.c */

#endif
