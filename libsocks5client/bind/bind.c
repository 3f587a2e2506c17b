/* bind(), listen() and queries of a listener before and after: which listeners are at a server.
 *
 * bind() is done as the program requests it. The kernel's errors are returned, and a port that the kernel chose
 * remains until a server reports another. It is recorded that the port was 0, since the policy may depend on it. The
 * BIND is made by listen(), or by getsockname() before that, since some programs send their peer the address first and
 * then listen.
 *
 * A socket that listens through a server listens in the kernel too, but must not be reachable there. It has a TCP MD5
 * signature key (RFC 2385) for every peer address, made of random octets that are not kept. The kernel drops a segment
 * that is not signed with the key: a caller gets neither a SYN-ACK nor a RST. This needs no privilege, unlike a socket
 * filter, and has no exception for neighbours, unlike a minimum hop count. The key belongs to the socket: every
 * process that has the socket is protected. The key is removed when the socket stops listening, since the segments of
 * a connection that the program then makes with it would be signed as well. */
#include "bind.h"
#include "blocking.h"
#include "complete.h"
#include "error.h"
#include "fd_channel.h"
#include "fd_record.h"
#include "in_engine.h"
#include "kind.h"
#include "listener.h"
#include "next_bind.h"
#include "registry.h"
#include "route.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>

static int get_option(struct s5_engine *e, int fd, int name)
{
    int value = 0, saved = errno;
    socklen_t len = sizeof value;
    if (e->real->getsockopt(fd, SOL_SOCKET, name, &value, &len) != 0)
        value = -1;
    errno = saved;
    return value;
}

bool s5_bind_listens(struct s5_engine *e, int fd)
{
    return get_option(e, fd, SO_ACCEPTCONN) == 1;
}

/* Stores in *RET where FD is bound; the port is the actual one. False: not a TCP socket of the program. */
static bool get_bound_address(struct s5_engine *e, int fd, struct s5_addr *ret)
{
    static const uint8_t unspecified[16];
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    if (s5_in_engine || s5_route_protocol(s5_route_socket(e, fd)) != S5_PROTO_TCP ||
        e->real->getsockname(fd, (struct sockaddr *)&own, &len) != 0 ||
        s5_addr_from_sockaddr(ret, (struct sockaddr *)&own, len) < 0)
        return false;
    if (memcmp(ret->octets, unspecified, ret->kind == S5_ADDR_IPV4 ? 4 : 16) == 0)
        ret->kind = S5_ADDR_NONE; /* every address: a rule on loopback does not apply to it */
    return true;
}

/* A program binds to the local address of one of its connections. That is a v4-mapped address if the server was
 * reached by IPv4. A socket for IPv6 alone refuses it, except one that will listen at a server. */
static int bind_mapped(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    const struct s5_server *server;
    struct s5_addr at;
    int off = 0;
    /* The kernel has read an address of a length that it accepts. */
    if (len < sizeof *v6 || len > sizeof(struct sockaddr_storage) || v6->sin6_family != AF_INET6 ||
        !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) || s5_addr_from_sockaddr(&at, addr, len) < 0 ||
        s5_route_listener(e, &at, true, &server) <= 0 ||
        e->real->setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0)
        return -EINVAL;
    return e->real->bind(fd, addr, len) == 0 ? 0 : -errno;
}

int s5_bind(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    const struct s5_server *server;
    struct s5_addr at;
    int r = e->real->bind(fd, addr, len) == 0 ? 0 : -errno;
    if (r == -EINVAL && addr && !s5_in_engine)
        r = bind_mapped(e, fd, addr, len);
    if (r < 0)
        return r;
    if (len < sizeof addr->sa_family) /* the kernel has read no address */
        return 0;
    if ((addr->sa_family != AF_INET && addr->sa_family != AF_INET6) || !get_bound_address(e, fd, &at))
        return 0;
    at.port = s5_endpoint_port(addr);
    struct s5_slot *slot = at.port ? NULL : s5_registry_make(&e->registry, fd);
    if (slot)
        atomic_store(&slot->bound, (uint32_t)s5_fd_cookie(e, fd));
    struct s5_record *before = s5_fd_record(e, fd);
    int route = s5_route_listener(e, &at, true, &server);
    if (before && (route > 0 || atomic_load(&before->state) == S5_RECORD_NAMED))
        s5_fd_forget(e, fd);
    if (route <= 0)
        return 0;
    struct s5_record *record = s5_registry_new(&e->registry);
    struct s5_record_more *more = record ? s5_registry_more(&e->registry, record) : NULL;
    if (record && !more)
        s5_registry_free(&e->registry, record);
    if (!more)
        return 0; /* listen() will run out of memory as well */
    record->cookie = s5_fd_cookie(e, fd);
    more->port = at.port;
    atomic_store(&record->state, S5_RECORD_NAMED);
    s5_registry_enter(&e->registry, fd, record);
    return 0;
}

/* Makes FD a listener at a server if the policy says so. > 0: it is one; 0: a local one; -errno. SILENT: the decision
 * is not logged. */
static int ensure_listener(struct s5_engine *e, int fd, bool silent)
{
    const struct s5_server *server;
    struct s5_addr at;
    if (s5_listener_find(e, fd))
        return 1;
    if (!get_bound_address(e, fd, &at))
        return 0;
    struct s5_record *record = s5_fd_record(e, fd);
    if (record && atomic_load(&record->state) == S5_RECORD_NAMED)
        at.port = record->more->port;
    int r = s5_route_listener(e, &at, silent, &server);
    if (r > 0)
        r = s5_listener_begin(e, fd, r, server);
    else
        return r;
    return r < 0 ? r : 1;
}

/* Stores in *RET what the server has bound for RECORD, FD's: 0 or -errno. */
static int get_bound_name(struct s5_engine *e, struct s5_record *record, int fd, struct s5_endpoint *ret)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (atomic_load(&record->state) == S5_RECORD_NAMED && record->error)
        return record->error; /* listen() makes another BIND */
    if (atomic_load(&record->state) == S5_RECORD_NAMED && e->real->getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return -EISCONN; /* connected where no hook saw it */
    int r = ensure_listener(e, fd, true);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    record = s5_listener_find(e, fd);
    struct s5_listener *l = record ? s5_listener_shared(record) : NULL;
    if (!l || !l->name.len)
        return -ENOENT;
    s5_next_bind_await(e, record); /* the next BIND has another address */
    *ret = l->name;
    return 0;
}

int s5_bind_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct s5_endpoint name;
    return get_bound_name(e, record, fd, &name) < 0 ? S5_KERNEL_KNOWS : s5_endpoint_tell(&name, addr, len);
}

/* --- the kernel's listener --- */

/* Sets KEY for all peers of FD; an empty KEY removes it. All peers: every IPv4 or every IPv6 address, and on an IPv6
 * socket also every IPv4 address as a mapped one. 0 or -errno. */
static int set_key(struct s5_engine *e, int fd, const uint8_t *key, size_t size)
{
    struct tcp_md5sig sig = {.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX, .tcpm_keylen = (uint16_t)size};
    struct sockaddr_in6 *peers = (struct sockaddr_in6 *)&sig.tcpm_addr;
    int family = get_option(e, fd, SO_DOMAIN), r;
    sig.tcpm_addr.ss_family = (sa_family_t)family;
    if (size)
        memcpy(sig.tcpm_key, key, size);
    r = e->real->setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof sig) == 0 ? 0 : -errno;
    if (family == AF_INET6 && (r == 0 || !size)) {
        peers->sin6_addr.s6_addr[10] = peers->sin6_addr.s6_addr[11] = 0xFF;
        if (e->real->setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof sig) != 0)
            r = -errno;
    }
    explicit_bzero(sig.tcpm_key, sizeof sig.tcpm_key);
    return r;
}

/* FD answers no caller from now on. 0 or -errno. */
static int block_callers(struct s5_engine *e, int fd)
{
    uint8_t key[16];
    ssize_t got = getrandom(key, sizeof key, 0);
    int r = got == sizeof key ? set_key(e, fd, key, sizeof key) : got < 0 ? -errno : -EAGAIN;
    explicit_bzero(key, sizeof key);
    return r;
}

void s5_bind_unblock_callers(struct s5_engine *e, int fd)
{
    int saved = errno;
    set_key(e, fd, NULL, 0); /* ENOENT if there is none */
    errno = saved;
}

void s5_bind_ended(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_listener_find(e, fd);
    if (!record || s5_bind_listens(e, fd))
        return;
    s5_bind_unblock_callers(e, fd);
    s5_fd_channel_wake(e, record->more->wakeup_fd); /* the other processes check it themselves */
    s5_listener_end(e, record, -EINVAL);
}

int s5_listen(struct s5_engine *e, int fd, int backlog)
{
    s5_cleanup_look_here();
    int saved = errno, r = ensure_listener(e, fd, false);
    if (r < 0)
        return r;
    if (r > 0 && (r = block_callers(e, fd)) < 0) {
        s5_log(&e->log, S5_LOG_ERROR,
               "refused: listening: the kernel cannot reject direct connections: "
               "TCP MD5 signatures: %s",
               s5_error_text(r));
        s5_bind_unblock_callers(e, fd);
        struct s5_record *record = s5_listener_find(e, fd);
        if (record)
            s5_listener_end(e, record, -EOPNOTSUPP);
        return -EOPNOTSUPP;
    }
    errno = saved;
    return e->real->keyed_listen(fd, backlog) == 0 ? 0 : -errno;
}

int s5_shutdown(struct s5_engine *e, int fd, int how)
{
    struct s5_record *record = how < SHUT_RD || how > SHUT_RDWR ? NULL : s5_complete_find(e, fd);
    if (record && s5_complete_abort(e, record, fd))
        return 0;
    if (e->real->shutdown(fd, how) != 0)
        return -errno;
    s5_bind_ended(e, fd);
    return 0;
}
