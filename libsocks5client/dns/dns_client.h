/* DNS clients: the sockets of programs with a DNS resolver of their own. */
#ifndef S5_DNS_CLIENT_H
#define S5_DNS_CLIENT_H

#include "dns.h"
#include "engine.h"

#define S5_DNS_CLIENTS          1024u /* per process; more are refused */
#define S5_DNS_CLIENT_QUESTIONS 16u   /* open queries of one socket whose servers are remembered */

enum s5_dns_client_kind {
    S5_DNS_CLIENT_FREE = 0,
    S5_DNS_CLIENT_CONNECTED,   /* datagrams, connected to one DNS server */
    S5_DNS_CLIENT_UNCONNECTED, /* datagrams, each with its own DNS server */
    S5_DNS_CLIENT_STREAM,      /* TCP */
};

/* The state of a DNS client. */
struct s5_dns_client {
    _Atomic uint32_t kind;   /* enum s5_dns_client_kind */
    struct s5_lock lock;     /* for ASKED, AT, IN and HAVE; held only while they are copied */
    struct s5_endpoint self; /* address of the socket itself */
    uint32_t at;             /* next entry of ASKED to write */
    struct {
        uint16_t id;
        struct s5_endpoint server;    /* len 0: free */
    } asked[S5_DNS_CLIENT_QUESTIONS]; /* UNCONNECTED: the servers of the last queries */
    uint32_t have;                    /* octets in IN */
    uint8_t in[2 + S5_DNS_QUERY_MAX]; /* STREAM: an incomplete query */
};

/* Handles connect() of FD, whose PROTOCOL is S5_PROTO_UDP or S5_PROTO_TCP, to the DNS server ADDR. Returns 0 or
 * -errno. */
int s5_dns_client_connect(struct s5_engine *e, int fd, uint8_t protocol, const struct sockaddr *addr, socklen_t len);

/* Handles sendmsg() of MSG on FD. Returns the number of octets or -errno; S5_RESULT_NO_DNS_CLIENT: FD is not a DNS
 * client, and the destination of MSG is not a DNS server (or msg_name is NULL). The caller then sends MSG as usual.
 * */
ssize_t s5_dns_client_send(struct s5_engine *e, int fd, const struct msghdr *msg, int flags);

/* The same for sendmmsg(). */
int s5_dns_client_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags);

/* Returns true if FD is a DNS client. The second function returns its state (NULL: none), and its record in
 * RET_RECORD. */
bool s5_dns_client_is(struct s5_engine *e, int fd);
struct s5_dns_client *s5_dns_client_of(struct s5_engine *e, int fd, struct s5_record **ret_record);

/* Makes FD an ordinary socket again if it is a DNS client of datagrams, because the program connects it to another
 * address. Returns true if it was one. */
bool s5_dns_client_release(struct s5_engine *e, int fd);

struct s5_kind;
extern const struct s5_kind s5_dns_kind; /* dns_client.c */

#endif
