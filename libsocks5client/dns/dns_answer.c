/* Answers the queries of programs. Types that cannot be answered locally are forwarded, each on a new TCP connection,
 * which the engine handles like any other: the rules decide its route. It blocks for a few seconds at most. */
#include "dns_answer.h"
#include "blocking.h"
#include "dns.h"
#include "fd_ops.h"
#include "hosts.h"
#include "in_engine.h"
#include "names.h"
#include "resolve.h"
#include "tcp_connect.h"
#include "timeo.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

bool s5_dns_answer_is_ours(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol)
{
    if (to->port != S5_DNS_PORT || s5_in_engine)
        return false;
    const struct s5_policy *p = s5_engine_policy(e);
    struct s5_flow flow = {to, protocol, protocol == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT};
    if (!p || p->resolve_local)
        return false;
    struct s5_route route = s5_policy_decide(p, &flow);
    return route.verdict == S5_VIA || (route.verdict == S5_DIRECT && route.why == S5_WHY_LOOPBACK);
}

bool s5_dns_answer_is_direct(struct s5_engine *e, const char *text)
{
    struct s5_addr name;
    const struct s5_policy *p = s5_engine_policy(e);
    if (s5_in_engine)
        return true;
    if (!p)
        return false;
    if (p->resolve_local)
        return s5_resolve_allowed(e, text) == 0;
    return s5_addr_parse(&name, text, strnlen(text, S5_ADDR_NAME_MAX + 1), 0) == 0 && name.kind == S5_ADDR_NAME &&
           s5_policy_decide_name(p, &name).why == S5_WHY_RULE && s5_policy_decide_name(p, &name).verdict == S5_DIRECT;
}

/* --- forwarding --- */

/* Connects to SERVER. Returns the descriptor, which CALL holds, or -errno. */
static int open_forward_socket(struct s5_engine *e, const struct s5_endpoint *server, struct s5_cleanup *call,
                               uint32_t ticket)
{
    struct s5_timeo timeout = {S5_DNS_TIMEOUT, 0};
    int fd = s5_blocking_socket(e, call, server->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC);
    if (fd < 0)
        return fd;
    e->real->setsockopt(fd, SOL_SOCKET, S5_SNDTIMEO, &timeout, sizeof timeout);
    e->real->setsockopt(fd, SOL_SOCKET, S5_RCVTIMEO, &timeout, sizeof timeout);
    int r = s5_tcp_connect_dns(e, fd, server);
    return s5_cleanup_owns(call, ticket) ? r < 0 ? r : fd : -ECONNABORTED;
}

/* Reads N octets. Returns 0 or -errno. */
static int read_all(struct s5_engine *e, int fd, uint8_t *buf, size_t n)
{
    while (n) {
        ssize_t got = e->real->recv(fd, buf, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? -errno : -ECONNRESET;
        buf += got;
        n -= (size_t)got;
    }
    return 0;
}

/* Sends QUERY on FD and reads the reply into RET, which has SIZE octets. Returns its length, or -errno; -EMSGSIZE:
 * it does not fit. */
static ssize_t exchange_query(struct s5_engine *e, int fd, const uint8_t *query, size_t len, uint8_t *ret, size_t size)
{
    uint8_t message[2 + S5_DNS_QUERY_MAX], head[2];
    message[0] = (uint8_t)(len >> 8);
    message[1] = (uint8_t)len;
    memcpy(message + 2, query, len);
    ssize_t r = e->real->send(fd, message, len + 2, MSG_NOSIGNAL);
    r = r == (ssize_t)len + 2 ? read_all(e, fd, head, 2) : -EPIPE;
    size_t reply_len = (size_t)(head[0] << 8 | head[1]);
    if (r == 0)
        r = reply_len > size ? -EMSGSIZE : read_all(e, fd, ret, reply_len);
    /* Only the header is checked: it must be a response with the ID of the query. */
    if (r == 0 && (reply_len < S5_DNS_HEADER || memcmp(ret, query, 2) != 0 || !(ret[2] & 0x80)))
        r = -EPROTO;
    return r < 0 ? r : (ssize_t)reply_len;
}

/* Forwards QUERY to SERVER. Result as of exchange_query(). */
static ssize_t forward_query(struct s5_engine *e, const struct s5_endpoint *server, const uint8_t *query, size_t len,
                             uint8_t *ret, size_t size)
{
    uint32_t ticket;
    struct s5_cleanup *call = s5_cleanup_push(s5_blocking_release, e, (uintptr_t)&ticket, &ticket);
    ssize_t r = open_forward_socket(e, server, call, ticket);
    if (r >= 0)
        r = exchange_query(e, (int)r, query, len, ret, size);
    if (!s5_cleanup_owns(call, ticket))
        return -ECONNABORTED;
    if (call->fd[1] >= 0)
        s5_close_own(e, call->fd[1]);
    s5_cleanup_pop(call, ticket);
    return r;
}

/* Answers QUERY by forwarding it to SERVER. Returns the length of the reply. */
static ssize_t answer_by_server(struct s5_engine *e, const uint8_t *query, const struct s5_dns_query *q, size_t len,
                                const struct s5_endpoint *server, bool stream, uint8_t *ret, size_t size)
{
    uint8_t long_one[S5_DNS_QUERY_MAX];
    struct s5_endpoint found;
    struct s5_addr addr;
    if (!server && s5_resolve_dns_server(e, &found) == 0)
        server = &found;
    if (!server || s5_addr_from_sockaddr(&addr, &server->any, server->len) < 0 || s5_addr_is_loopback(&addr))
        return (ssize_t)s5_dns_answer(query, q, S5_DNS_REFUSED, NULL, 0, ret, size);
    bool big = stream || size >= sizeof long_one;
    ssize_t n = big ? forward_query(e, server, query, len, ret, size)
                    : forward_query(e, server, query, len, long_one, sizeof long_one);
    if (n == -EMSGSIZE || (n > 0 && !stream && n > q->capacity))
        return (ssize_t)s5_dns_cut(query, q, ret, size);
    if (n < 0)
        return (ssize_t)s5_dns_answer(query, q, S5_DNS_SERVFAIL, NULL, 0, ret, size);
    if (!big && (size_t)n > size)
        return (ssize_t)s5_dns_cut(query, q, ret, size);
    if (!big)
        memcpy(ret, long_one, (size_t)n);
    return n;
}

/* --- local answers --- */

/* Stores in RET the address of NAME, from libc. Returns 0 or -errno. */
static int resolve_with_libc(struct s5_engine *e, const struct s5_addr *name, int family, uint8_t *ret)
{
    struct s5_endpoint at;
    int r = s5_resolve_direct(e, name, family, &at);
    if (r < 0)
        return r;
    if (family == AF_INET)
        memcpy(ret, &at.v4.sin_addr, 4);
    else if (IN6_IS_ADDR_V4MAPPED(&at.v6.sin6_addr))
        return -EAFNOSUPPORT;
    else
        memcpy(ret, &at.v6.sin6_addr, 16);
    return 0;
}

static size_t answer_address(struct s5_engine *e, const uint8_t *query, const struct s5_dns_query *q, uint8_t *ret,
                             size_t size)
{
    struct s5_names_answer answer;
    bool v4 = q->type != S5_DNS_AAAA;
    int family = v4 ? AF_INET : AF_INET6;
    if (q->name.kind != S5_ADDR_NAME)
        return s5_dns_answer(query, q, S5_DNS_NXDOMAIN, NULL, 0, ret, size);
    int r = s5_names_question(e, q->name.name, family, &answer);
    uint8_t *octets = v4 ? answer.v4 : answer.v6;
    if (r == 0 && answer.kind == S5_NAMES_LIBC)
        r = resolve_with_libc(e, &q->name, family, octets);
    if (r == -EAFNOSUPPORT || (r == 0 && !v4 && !s5_hosts_has_ipv6()))
        return s5_dns_answer(query, q, S5_DNS_NOERROR, NULL, 0, ret, size);
    if (r < 0)
        return s5_dns_answer(query, q,
                             r == -EACCES   ? S5_DNS_REFUSED
                             : r == -ENOMEM ? S5_DNS_SERVFAIL
                                            : S5_DNS_NXDOMAIN,
                             NULL, 0, ret, size);
    return s5_dns_answer(query, q, S5_DNS_NOERROR, octets, v4 ? 4 : 16, ret, size);
}

/* Answers a PTR query. Returns the length of the reply; 0: the name is not a reverse name, or its address is neither
 * a fake address nor loopback. */
static size_t answer_pointer(struct s5_engine *e, const uint8_t *query, const struct s5_dns_query *q, uint8_t *ret,
                             size_t size)
{
    uint8_t labels[256];
    struct s5_addr addr;
    if (!s5_dns_reverse(&q->name, &addr))
        return 0;
    int r = s5_addr_is_loopback(&addr) ? 2 : s5_names_find(e, &addr);
    if (r == 2)
        r = s5_addr_parse(&addr, "localhost", 9, 0) == 0;
    if (r == 0)
        return 0;
    int n = r > 0 ? s5_dns_labels(addr.name, addr.name_len, labels) : -EINVAL;
    return n < 0 ? s5_dns_answer(query, q, S5_DNS_NXDOMAIN, NULL, 0, ret, size)
                 : s5_dns_answer(query, q, S5_DNS_NOERROR, labels, (size_t)n, ret, size);
}

ssize_t s5_dns_answer_query(struct s5_engine *e, const uint8_t *query, size_t len, const struct s5_endpoint *server,
                            bool stream, uint8_t *ret, size_t size)
{
    struct s5_dns_query q;
    int saved = errno;
    ssize_t n = 0;
    if (s5_dns_read(query, len, &q) < 0)
        return 0;
    bool internet = q.class == S5_DNS_IN;
    if (internet && (q.type == S5_DNS_A || q.type == S5_DNS_AAAA || q.type == S5_DNS_ANY))
        n = (ssize_t)answer_address(e, query, &q, ret, size);
    else if (internet && q.type == S5_DNS_PTR)
        n = (ssize_t)answer_pointer(e, query, &q, ret, size);
    if (n == 0)
        n = answer_by_server(e, query, &q, len, server, stream, ret, size);
    errno = saved;
    return n;
}
