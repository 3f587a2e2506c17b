/* Theory of operation: a DNS client is a socket of a program to a DNS server. It is connected to itself over
 * loopback instead (this also works with TCP). When the program writes a query, the answer is written to the socket
 * in its place. The answer is then in the receive queue of the socket, where poll(), epoll and all functions that
 * read find it without a hook. Only the source of a datagram must be replaced. A query that bypasses the hooks comes
 * back to the program unchanged, which is not a valid answer. Nothing leaves the machine in any case. */
#include "dns_client.h"
#include "blocking.h"
#include "disconnect.h"
#include "dns.h"
#include "dns_answer.h"
#include "fd_record.h"
#include "in_engine.h"
#include "kind.h"
#include "lazy_map.h"
#include "registry.h"
#include "result.h"
#include "route.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

/* --- the table of DNS clients --- */

static struct s5_dns_client *map_dns_clients(struct s5_engine *e)
{
    return s5_lazy_map((void *_Atomic *)&e->dns_clients, S5_DNS_CLIENTS * sizeof(struct s5_dns_client));
}

/* Releases the DNS client of RECORD. */
static void end_record(struct s5_engine *e, struct s5_record *record)
{
    struct s5_record_more *more = atomic_load(&record->more);
    uint32_t number = more ? atomic_exchange(&more->dns_client, 0) : 0;
    struct s5_dns_client *all = atomic_load(&e->dns_clients);
    if (!number)
        return;
    if (all && number <= S5_DNS_CLIENTS)
        atomic_store(&all[number - 1].kind, S5_DNS_CLIENT_FREE);
    s5_registry_attend(&e->registry, -1);
}

struct s5_dns_client *s5_dns_client_of(struct s5_engine *e, int fd, struct s5_record **ret_record)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    struct s5_record_more *more = record ? atomic_load(&record->more) : NULL;
    uint32_t number = more ? atomic_load(&more->dns_client) : 0;
    if (!number)
        return NULL;
    if (s5_fd_forget_stale(e, fd)) /* closed and reused without a hook */
        return NULL;
    *ret_record = record;
    return &atomic_load(&e->dns_clients)[number - 1];
}

bool s5_dns_client_is(struct s5_engine *e, int fd)
{
    struct s5_record *record;
    return s5_dns_client_of(e, fd, &record) != NULL;
}

bool s5_dns_client_release(struct s5_engine *e, int fd)
{
    struct s5_record *record;
    struct s5_dns_client *a = s5_dns_client_of(e, fd, &record);
    uint32_t kind = a ? atomic_load(&a->kind) : S5_DNS_CLIENT_FREE;
    if (kind == S5_DNS_CLIENT_FREE || kind == S5_DNS_CLIENT_STREAM)
        return false;
    if (kind == S5_DNS_CLIENT_CONNECTED)
        s5_engine_real_disconnect(e, fd);
    s5_fd_forget(e, fd);
    return true;
}

/* Makes FD a DNS client of KIND with the address SELF. SERVER is its DNS server, empty for UNCONNECTED. Returns NULL if
 * there is no memory or no free entry. */
static struct s5_dns_client *add_dns_client(struct s5_engine *e, int fd, enum s5_dns_client_kind kind,
                                            const struct s5_endpoint *self, const struct s5_endpoint *server)
{
    struct s5_dns_client *all = map_dns_clients(e);
    uint32_t i = 0, none = S5_DNS_CLIENT_FREE;
    while (all && i < S5_DNS_CLIENTS && !atomic_compare_exchange_strong(&all[i].kind, &none, kind))
        i++, none = S5_DNS_CLIENT_FREE;
    if (!all || i == S5_DNS_CLIENTS)
        return NULL;
    struct s5_dns_client *a = &all[i];
    struct s5_record *record = s5_registry_new(&e->registry);
    struct s5_record_more *more = record ? s5_registry_more(&e->registry, record) : NULL;
    if (!more) {
        if (record)
            s5_registry_free(&e->registry, record);
        atomic_store(&a->kind, S5_DNS_CLIENT_FREE);
        return NULL;
    }
    a->self = *self;
    a->at = a->have = 0;
    memset(a->asked, 0, sizeof a->asked);
    record->cookie = s5_fd_cookie(e, fd);
    record->peer = *server;
    atomic_store(&more->dns_client, i + 1);
    atomic_store(&record->state, S5_RECORD_READY);
    s5_registry_attend(&e->registry, 1);
    atomic_store(&record->fd, fd);
    s5_registry_publish(record);
    if (s5_registry_name(&e->registry, fd, record) == 0)
        return a;
    s5_fd_release_record(e, record); /* also frees the DNS client */
    return NULL;
}

/* --- the address of the socket --- */

static bool is_unspecified(const struct s5_endpoint *at)
{
    if (at->any.sa_family == AF_INET)
        return at->v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&at->v6.sin6_addr);
}

static void set_loopback(struct s5_endpoint *at, bool mapped)
{
    static const uint8_t mapped_loopback[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    if (at->any.sa_family == AF_INET)
        at->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (mapped)
        memcpy(&at->v6.sin6_addr, mapped_loopback, sizeof mapped_loopback);
    else
        at->v6.sin6_addr = in6addr_loopback;
}

/* Binds FD to AT. The kernel must choose a port now, even if the program deferred that to connect(). Returns 0 or
 * -errno. */
static int bind_anywhere(struct s5_engine *e, int fd, const struct s5_endpoint *at)
{
    int later = 0, now = 0;
    socklen_t len = sizeof later;
    e->real->getsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &later, &len);
    if (later)
        e->real->setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &now, sizeof now);
    int r = e->real->bind(fd, &at->any, at->len) == 0 ? 0 : -errno;
    if (later)
        e->real->setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &later, sizeof later);
    return r;
}

/* Stores in RET the address at which FD receives what it sends to itself. Binds FD to a port if it is not bound.
 * STREAM: a TCP socket can be connected to itself only at an address that it is bound to. Returns 0 or -errno. */
static int find_self(struct s5_engine *e, int fd, const struct s5_endpoint *server, bool stream,
                     struct s5_endpoint *ret)
{
    bool mapped = server->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&server->v6.sin6_addr);
    for (int tries = 0; tries < 2; tries++) {
        memset(ret, 0, sizeof *ret);
        ret->len = sizeof ret->v6;
        if (e->real->getsockname(fd, &ret->any, &ret->len) != 0)
            return -errno;
        if (ret->any.sa_family != server->any.sa_family)
            return -EAFNOSUPPORT;
        bool bound = s5_endpoint_port(&ret->any);
        if (is_unspecified(ret) && (bound || stream))
            set_loopback(ret, mapped);
        if (bound)
            return 0;
        int r = bind_anywhere(e, fd, ret);
        if (r < 0)
            return r;
    }
    return -EADDRNOTAVAIL;
}

static int copy_address(const struct sockaddr *addr, socklen_t len, struct s5_endpoint *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!addr || len < sizeof ret->v4 || len > sizeof(struct sockaddr_storage))
        return -EINVAL;
    ret->len = len < sizeof ret->v6 ? len : sizeof ret->v6;
    memcpy(&ret->any, addr, ret->len);
    return 0;
}

int s5_dns_client_connect(struct s5_engine *e, int fd, uint8_t protocol, const struct sockaddr *addr, socklen_t len)
{
    bool stream = protocol == S5_PROTO_TCP;
    struct s5_endpoint self, server;
    int r = copy_address(addr, len, &server);
    if (r == 0)
        r = find_self(e, fd, &server, stream, &self);
    if (r == 0)
        r = s5_engine_real_connect(e, fd, &self.any, self.len);
    if (r < 0 && r != -EINPROGRESS)
        return r;
    if (add_dns_client(e, fd, stream ? S5_DNS_CLIENT_STREAM : S5_DNS_CLIENT_CONNECTED, &self, &server))
        return r;
    s5_log(&e->log, S5_LOG_ERROR, "refused: too many sockets of DNS clients");
    return -ENOBUFS;
}

/* --- import after an exec --- */

static bool is_datagram(struct s5_engine *e, int fd)
{
    return s5_route_protocol(s5_route_socket(e, fd)) == S5_PROTO_UDP;
}

static bool is_to_itself(struct s5_engine *e, int fd)
{
    struct s5_endpoint peer, own;
    s5_disconnect_own_address(e, fd, &own);
    peer.len = sizeof peer.v6;
    return own.len && e->real->getpeername(fd, &peer.any, &peer.len) == 0 && peer.len == own.len &&
           memcmp(&peer.any, &own.any, own.len) == 0;
}

/* Imports FD, which the program before an exec connected to SERVER (len 0: did not connect). Returns true if FD is a
 * DNS client. */
static bool import_client(struct s5_engine *e, int fd, const struct s5_endpoint *server)
{
    struct s5_endpoint self, own;
    enum s5_dns_client_kind kind = S5_DNS_CLIENT_UNCONNECTED;
    if (server->len && !is_to_itself(e, fd))
        return false;
    s5_disconnect_own_address(e, fd, &own);
    if (server->len)
        kind = is_datagram(e, fd) ? S5_DNS_CLIENT_CONNECTED : S5_DNS_CLIENT_STREAM;
    if (!own.len || find_self(e, fd, &own, false, &self) < 0 || !add_dns_client(e, fd, kind, &self, server))
        s5_log(&e->log, S5_LOG_ERROR, "the socket of a DNS client is lost after an exec");
    return true;
}

/* --- queries --- */

#define UNREADABLE SIZE_MAX

/* Copies the octets of MSG, SIZE at most, to RET. Returns their full number, or UNREADABLE. */
static size_t copy_message(const struct msghdr *msg, uint8_t *ret, size_t size)
{
    size_t total = 0;
    for (size_t i = 0; i < (size_t)msg->msg_iovlen; i++) {
        struct iovec v;
        size_t space = total < size ? size - total : 0;
        if (!s5_user_read(&v, &msg->msg_iov[i], sizeof v) ||
            !s5_user_read(ret + total, v.iov_base, v.iov_len < space ? v.iov_len : space))
            return UNREADABLE;
        total += v.iov_len;
    }
    return total;
}

/* A query on FD. The answer may take a while. Meanwhile FD may become the number of another socket, and the DNS
 * client may be reused for another one. So what is needed of both is copied before, and the answer is written to a
 * duplicate. */
struct question {
    int fd, held; /* number of the socket, and its duplicate */
    struct s5_dns_client *a;
    uint32_t kind;
    uint64_t cookie; /* of the socket */
    struct s5_endpoint self, server;
    struct s5_cleanup *call;
    uint32_t ticket;
};

/* Returns true if the socket is still open and still the same DNS client. */
static bool is_current(struct s5_engine *e, const struct question *q)
{
    struct s5_record *record = NULL;
    return s5_cleanup_owns(q->call, q->ticket) && s5_dns_client_of(e, q->fd, &record) == q->a && record &&
           record->cookie == q->cookie;
}

static void store_query_server(const struct question *q, const uint8_t *query)
{
    struct s5_dns_client *a = q->a;
    struct s5_critical critical;
    if (!s5_lock_take(&a->lock, &critical))
        return;
    a->asked[a->at].id = (uint16_t)(query[0] << 8 | query[1]);
    a->asked[a->at].server = q->server;
    a->at = (a->at + 1) % S5_DNS_CLIENT_QUESTIONS;
    s5_lock_give(&a->lock, &critical);
}

static ssize_t send_datagram(struct s5_engine *e, const struct question *q, const struct msghdr *msg)
{
    uint8_t query[S5_DNS_QUERY_MAX], reply[S5_DNS_REPLY_UDP];
    bool unconnected = q->kind == S5_DNS_CLIENT_UNCONNECTED;
    size_t n = copy_message(msg, query, sizeof query);
    if (n > sizeof query)
        return n == UNREADABLE ? -EFAULT : -EMSGSIZE;
    ssize_t r = s5_dns_answer_query(e, query, n, &q->server, false, reply, sizeof reply);
    if (r <= 0 || !is_current(e, q))
        return (ssize_t)n; /* the query is dropped, as a datagram may be */
    if (unconnected)
        store_query_server(q, query);
    /* An answer that does not fit into the receive queue is dropped, too. */
    struct s5_endpoint self = q->self;
    struct iovec iov = {reply, (size_t)r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (unconnected) {
        m.msg_name = &self.any;
        m.msg_namelen = self.len;
    }
    e->real->keyed_sendmsg(q->held, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    return (ssize_t)n;
}

/* Moves the next complete query of the stream to QUERY. Returns its length; 0: there is none yet; -EMSGSIZE: its
 * length is invalid. */
static ssize_t get_next_query(struct s5_dns_client *a, uint8_t query[S5_DNS_QUERY_MAX])
{
    size_t query_len = a->have < 2 ? 0 : (size_t)(a->in[0] << 8 | a->in[1]);
    if (a->have >= 2 && (query_len > S5_DNS_QUERY_MAX || query_len < S5_DNS_HEADER))
        return -EMSGSIZE;
    if (a->have < 2 || a->have < query_len + 2)
        return 0;
    memcpy(query, a->in + 2, query_len);
    a->have -= (uint32_t)query_len + 2;
    memmove(a->in, a->in + query_len + 2, a->have);
    return (ssize_t)query_len;
}

/* Appends as much of MSG to A->in as fits. Returns the number of octets, or UNREADABLE. */
static size_t append_message(struct s5_dns_client *a, const struct msghdr *msg)
{
    size_t space = sizeof a->in - a->have, n = copy_message(msg, a->in + a->have, space);
    if (n == UNREADABLE)
        return n;
    n = n < space ? n : space;
    a->have += (uint32_t)n;
    return n;
}

static int answer_stream(struct s5_engine *e, const struct question *q, const uint8_t *query, size_t len)
{
    uint8_t reply[2 + S5_DNS_REPLY_TCP];
    ssize_t n = s5_dns_answer_query(e, query, len, &q->server, true, reply + 2, sizeof reply - 2);
    if (n <= 0 || !is_current(e, q))
        return -ECONNRESET;
    reply[0] = (uint8_t)(n >> 8);
    reply[1] = (uint8_t)n;
    return e->real->send(q->held, reply, (size_t)n + 2, MSG_DONTWAIT | MSG_NOSIGNAL) == n + 2 ? 0 : -ECONNRESET;
}

/* Appends as much of MSG (NULL: nothing) as fits, and moves the next complete query to QUERY. Returns as
 * get_next_query(). *RET_TAKEN is the number of octets of MSG that were appended, or UNREADABLE: then no query is
 * returned. */
static ssize_t exchange_stream(struct s5_dns_client *a, const struct msghdr *msg, uint8_t query[S5_DNS_QUERY_MAX],
                               size_t *ret_taken)
{
    struct s5_critical critical;
    if (!s5_lock_take(&a->lock, &critical))
        return 0;
    if (msg)
        *ret_taken = append_message(a, msg);
    ssize_t query_len = *ret_taken == UNREADABLE ? 0 : get_next_query(a, query);
    s5_lock_give(&a->lock, &critical);
    return query_len;
}

static ssize_t send_stream(struct s5_engine *e, const struct question *q, const struct msghdr *msg)
{
    uint8_t query[S5_DNS_QUERY_MAX];
    size_t n = 0;
    ssize_t query_len = exchange_stream(q->a, msg, query, &n);
    while (query_len > 0) {
        if (answer_stream(e, q, query, (size_t)query_len) < 0)
            query_len = -ECONNRESET;
        else
            query_len = exchange_stream(q->a, NULL, query, &n);
    }
    if (query_len < 0 && is_current(e, q)) /* as a DNS server does after an invalid query */
        shutdown(q->held, SHUT_RDWR);
    return n == UNREADABLE ? -EFAULT : (ssize_t)n;
}

/* Returns true if FD is a datagram socket and the destination of MSG is a DNS server whose queries are answered
 * here. RET is that server. */
static bool is_to_dns_server(struct s5_engine *e, int fd, const struct msghdr *msg, struct s5_endpoint *ret)
{
    struct s5_addr to;
    return msg->msg_name && copy_address(msg->msg_name, msg->msg_namelen, ret) == 0 &&
           s5_endpoint_port(&ret->any) == S5_DNS_PORT && s5_addr_from_sockaddr(&to, &ret->any, ret->len) == 0 &&
           is_datagram(e, fd) && s5_dns_answer_is_ours(e, &to, S5_PROTO_UDP);
}

/* Makes FD an unconnected DNS client. Returns NULL on failure, or if FD is already another kind of socket. */
static struct s5_dns_client *add_unconnected(struct s5_engine *e, int fd, const struct s5_endpoint *server)
{
    struct s5_endpoint self, none = {0};
    bool taken = !s5_registry_foreign(&e->registry, fd) && !s5_fd_forget_stale(e, fd);
    if (taken || find_self(e, fd, server, false, &self) < 0)
        return NULL;
    return add_dns_client(e, fd, S5_DNS_CLIENT_UNCONNECTED, &self, &none);
}

/* Answers the query MSG to SERVER, on FD, whose record is RECORD and DNS client is A. Result as of sendmsg(). */
static ssize_t answer_message(struct s5_engine *e, int fd, struct s5_dns_client *a, const struct s5_record *record,
                              const struct msghdr *msg, const struct s5_endpoint *server)
{
    struct question q = {
        .fd = fd, .a = a, .kind = atomic_load(&a->kind), .cookie = record->cookie, .self = a->self, .server = *server};
    q.call = s5_cleanup_push(s5_blocking_release, e, (uintptr_t)&q, &q.ticket);
    q.held = s5_blocking_hold(e, q.call, fd, q.cookie);
    ssize_t r = q.kind == S5_DNS_CLIENT_STREAM ? send_stream(e, &q, msg) : send_datagram(e, &q, msg);
    s5_blocking_end(e, q.call, q.ticket, fd, q.held);
    return r;
}

ssize_t s5_dns_client_send(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    (void)flags; /* a reply never blocks */
    struct s5_record *record = NULL;
    struct s5_endpoint server;
    if (s5_in_engine)
        return S5_RESULT_NO_DNS_CLIENT;
    struct s5_dns_client *a = s5_dns_client_of(e, fd, &record);
    uint32_t kind = a ? atomic_load(&a->kind) : S5_DNS_CLIENT_FREE;
    if (record && (kind == S5_DNS_CLIENT_STREAM || (kind == S5_DNS_CLIENT_CONNECTED && !msg->msg_name)))
        return answer_message(e, fd, a, record, msg, &record->peer);
    if (!is_to_dns_server(e, fd, msg, &server))
        return S5_RESULT_NO_DNS_CLIENT;
    if (!a && add_unconnected(e, fd, &server))
        a = s5_dns_client_of(e, fd, &record);
    return a && record ? answer_message(e, fd, a, record, msg, &server) : -ENOBUFS;
}

int s5_dns_client_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    unsigned sent = 0;
    ssize_t r = S5_RESULT_NO_DNS_CLIENT;
    for (; sent < n; sent++) {
        struct sockaddr_storage to;
        struct msghdr m;
        r = s5_user_message(&m, &to, &msgs[sent].msg_hdr);
        if (r == 0)
            r = s5_dns_client_send(e, fd, &m, flags);
        unsigned len = (unsigned)r;
        if (r >= 0 && !s5_user_write(&msgs[sent].msg_len, &len, sizeof len))
            r = -EFAULT;
        if (r < 0)
            break;
    }
    return sent ? (int)sent : (int)r;
}

const struct s5_kind s5_dns_kind = {.end = end_record, .import_connected = import_client};
