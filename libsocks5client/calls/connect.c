/* connect(): classifies the socket and the address, and calls one layer: tcp, udp or dns. */
#include "connect.h"
#include "association.h"
#include "bind.h"
#include "blocking.h"
#include "complete.h"
#include "dns_answer.h"
#include "dns_client.h"
#include "fd_record.h"
#include "in_engine.h"
#include "listener.h"
#include "names.h"
#include "record.h"
#include "route.h"
#include "tcp_connect.h"
#include "user_memory.h"
#include <errno.h>

/* --- connect() on a socket that has a record --- */

/* 1: FD has no record any more, and connect() begins from scratch; otherwise its result. */
static int connect_again(struct s5_engine *e, struct s5_record *record, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (s5_fd_forget_stale(e, fd))
        return 1;
    s5_complete_step(e, record, 0);
    switch ((enum s5_record_state)atomic_load(&record->state)) {
    case S5_RECORD_IN_FLIGHT:
        if (s5_tcp_nonblocking(e, fd))
            return -EALREADY;
        return s5_tcp_join(e, record, fd);
    case S5_RECORD_FAILED:
        return s5_complete_result(e, record, fd);
    case S5_RECORD_READY:
        /* The kernel returns 0 once, then EISCONN. If a reset disconnected the socket, it must not be connected to the
         * server's address without a negotiation. */
        if (e->real->getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
            return s5_engine_real_connect(e, fd, (struct sockaddr *)&peer, len);
        break;
    case S5_RECORD_LISTENING:
        if (s5_bind_listens(e, fd))
            return -EISCONN;
        s5_bind_unblock_callers(e, fd);
        break;
    case S5_RECORD_NAMED:   /* it connects instead of listening */
    case S5_RECORD_RELAYED: /* no stream: s5_association_connect() handles it */
    case S5_RECORD_INTERNAL:
    case S5_RECORD_FREE:
        break;
    }
    s5_fd_forget(e, fd);
    return 1;
}

/* --- connect() from the start --- */

/* connect(AF_UNSPEC) on a socket that has a record. A listener stops listening. */
static int disconnect_socket(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    bool listening = s5_listener_find(e, fd);
    struct s5_record *record = s5_complete_find(e, fd);
    if (record)
        s5_complete_abort(e, record, fd);
    if (!listening)
        s5_fd_forget(e, fd);
    int r = s5_engine_real_connect(e, fd, addr, len);
    if (listening)
        s5_bind_ended(e, fd);
    return r;
}

static inline __attribute__((always_inline)) int connect_inet(struct s5_engine *e, int fd, struct sockaddr_storage *own,
                                                              socklen_t len, uint64_t cookie)
{
    const struct sockaddr *addr = (struct sockaddr *)own;
    struct s5_addr to;
    int r = s5_addr_from_sockaddr(&to, addr, len);
    if (r < 0)
        return s5_engine_real_connect(e, fd, addr, len); /* too short: the kernel refuses it */
    int protocol = s5_route_socket(e, fd);
    if (protocol < 0)
        return protocol;
    int named = s5_names_of(e, &to);
    if (named < 0)
        return named;
    uint8_t kind = s5_route_protocol(protocol);
    if (kind && s5_dns_answer_is_ours(e, &to, kind))
        return s5_dns_client_connect(e, fd, kind, addr, len);
    if (protocol == IPPROTO_UDP)
        return s5_association_connect(e, fd, addr, len);
    if (kind == S5_PROTO_TCP)
        return s5_tcp_connect(e, fd, own, len, &to, named, cookie);
    r = s5_route_direct_only(e, &to, kind, kind == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT,
                             "anything but TCP and UDP");
    return r < 0 ? r : s5_tcp_connect_direct(e, fd, addr, len, named ? &to : NULL, kind);
}

/* The kernel reports what is wrong with FD, or else with the length or the address. */
static __attribute__((noinline, cold)) int report_wrong_address(struct s5_engine *e, int fd, socklen_t len)
{
    return s5_engine_real_connect(e, fd, S5_USER_NOWHERE, len);
}

/* Addresses that are not of the Internet. What the engine does not know is passed on as it is. */
static __attribute__((noinline)) int connect_other(struct s5_engine *e, int fd, const struct sockaddr *own,
                                                   const struct sockaddr *user_addr, socklen_t len)
{
    if (s5_route_is_local(own->sa_family) || (own->sa_family == AF_UNSPEC && !s5_in_engine))
        return s5_engine_real_connect(e, fd, own, len);
    return e->real->connect(fd, user_addr, len) == 0 ? 0 : -errno;
}

int s5_connect(struct s5_engine *e, int fd, const struct sockaddr *user_addr, socklen_t len)
{
    /* All that follows uses this copy: another thread may change the program's. */
    struct sockaddr_storage own;
    const struct sockaddr *addr = (struct sockaddr *)&own;
    uint64_t cookie = 0;
    s5_cleanup_look_here();
    if (__builtin_expect(len < sizeof addr->sa_family, 0))
        return e->real->connect(fd, user_addr, len) == 0 ? 0 : -errno;
    if (__builtin_expect(s5_user_address(&own, user_addr, len) < 0, 0))
        return report_wrong_address(e, fd, len);
    if (s5_in_engine)
        return connect_other(e, fd, addr, user_addr, len);
    struct s5_record *record = s5_fd_checked_record(e, fd, &cookie);
    if (record && record->relayed)
        return s5_association_connect(e, fd, addr, len);
    if (addr->sa_family == AF_UNSPEC && record)
        return disconnect_socket(e, fd, addr, len);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
        return connect_other(e, fd, addr, user_addr, len);
    if (record && !s5_dns_client_release(e, fd)) {
        int r = connect_again(e, record, fd);
        if (r <= 0)
            return r;
    }
    /* The kernel accepts an IPv6 address without its scope. Here it is made complete: zeros follow it in the copy. */
    if (addr->sa_family == AF_INET6 && len >= 24 && len < sizeof(struct sockaddr_in6))
        len = sizeof(struct sockaddr_in6);
    return connect_inet(e, fd, &own, len, cookie);
}
