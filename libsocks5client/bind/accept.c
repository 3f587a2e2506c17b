/* accept(): the second reply names the peer that connected. The control connection on which it arrived becomes the
 * connection, under a descriptor of the program, and is returned at once. The next BIND is begun before that, and the
 * calls that wait continue it. A peer that connects in between finds no listener, since one BIND accepts one
 * connection (RFC 1928).
 *
 * If several processes have the listener, the one that has the lock checks for a connection. The others find none, as
 * when the kernel gives a connection to another process. */
#include "accept.h"
#include "bind.h"
#include "bind_request.h"
#include "blocking.h"
#include "clock.h"
#include "epoll_shadow.h"
#include "error.h"
#include "fd_channel.h"
#include "fd_notes.h"
#include "fd_ops.h"
#include "fd_record.h"
#include "inflight.h"
#include "internal_fd.h"
#include "listener.h"
#include "listener_pool.h"
#include "next_bind.h"
#include "record.h"
#include "registry.h"
#include "result.h"
#include "timeo.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>

/* Copies the options that the kernel passes on from a listener to a connection. */
static void copy_options(struct s5_engine *e, int from, int to)
{
    static const struct {
        int level, name;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_LINGER},    {SOL_SOCKET, SO_OOBINLINE}, {SOL_SOCKET, S5_RCVTIMEO},
        {SOL_SOCKET, S5_SNDTIMEO},  {SOL_SOCKET, SO_REUSEADDR}, {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_KEEPIDLE},
    };
    char value[sizeof(struct timeval)];
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        socklen_t len = sizeof value;
        if (e->real->getsockopt(from, options[i].level, options[i].name, value, &len) == 0)
            e->real->setsockopt(to, options[i].level, options[i].name, value, len);
    }
}

static void log_accepted(struct s5_engine *e, const struct s5_endpoint *peer)
{
    char text[S5_ADDR_TEXT_MAX];
    struct s5_addr addr;
    if (e->log.level >= S5_LOG_INFO && s5_addr_from_sockaddr(&addr, &peer->any, peer->len) == 0)
        s5_log(&e->log, S5_LOG_INFO, "accepted %s", s5_addr_format(&addr, text, sizeof text));
}

/* Returns the control connection under a descriptor of the program; -errno: it is unchanged. */
static int return_connection(struct s5_engine *e, struct s5_record *record, int fd, int flags,
                             const struct s5_endpoint *peer, const struct s5_endpoint *local)
{
    int control = record->more->control;
    int to = e->real->fcntl(control, flags & SOCK_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    if (to < 0)
        return -errno;
    if (!s5_registry_foreign(&e->registry, to)) { /* of an earlier socket */
        s5_fd_forget(e, to);
        s5_registry_unwatch_all(&e->registry, to);
    }
    struct s5_record *own = s5_registry_new(&e->registry);
    struct s5_record_more *more = own ? s5_registry_more(&e->registry, own) : NULL;
    if (own && !more)
        s5_registry_free(&e->registry, own);
    if (more) {
        own->cookie = s5_fd_cookie(e, to);
        own->peer = *peer;
        more->local = *local;
        atomic_store(&own->state, S5_RECORD_READY);
    }
    if (!more || s5_registry_enter(&e->registry, to, own) < 0) {
        e->real->close(to);
        return -ENOBUFS;
    }
    s5_epoll_shadow_remove(e, record, control);
    s5_internal_fd_close(e, control);
    record->more->control = -1;
    int status = e->real->fcntl(to, F_GETFL, 0);
    status = flags & SOCK_NONBLOCK ? status | O_NONBLOCK : status & ~O_NONBLOCK;
    e->real->fcntl(to, F_SETFL, status);
    copy_options(e, fd, to);
    log_accepted(e, peer);
    return to;
}

/* Under the lock: returns a connection's descriptor; -EAGAIN: there is none; the BIND's own error; S5_RESULT_RENEW:
 * there is no BIND. */
static int check_second_reply(struct s5_engine *e, struct s5_record *record, struct s5_listener *l, int fd, int flags,
                              struct s5_endpoint *ret)
{
    int r;
    s5_listener_refresh(e, record);
    if (!l->bound && record->more->wakeup_fd >= 0 && !s5_fd_channel_is_woken(e, record->more->wakeup_fd))
        return -EAGAIN; /* the next BIND is in flight, or the server failed and is not tried yet */
    if (!l->bound || record->more->control < 0)
        return S5_RESULT_RENEW;
    r = s5_bind_request_accepted(e, l, record->more->control, ret);
    if (r == -EAGAIN)
        return r;
    if (r == 0) {
        struct s5_endpoint local = l->name;
        r = return_connection(e, record, fd, flags, ret, &local);
        if (r < 0)
            return r; /* out of resources: the connection remains */
    } else
        s5_log(&e->log, S5_LOG_WARNING, "BIND: no incoming connection: %s", s5_error_text(r));
    s5_next_bind_begin(e, record);
    return r;
}

static int try_accept(struct s5_engine *e, struct s5_record *record, int fd, int flags, struct s5_endpoint *ret)
{
    struct s5_listener *l = s5_listener_shared(record);
    int r = -EAGAIN;
    if (!s5_bind_listens(e, fd))
        return -EINVAL;
    if (!l)
        return -ECONNABORTED;
    uint32_t ticket;
    struct s5_cleanup *call = s5_listener_begin_call(e, record, &ticket); /* the next BIND may take long */
    if (!call)
        return -EBADF;
    int cancel = s5_cleanup_hold_cancel();
    s5_next_bind_step(e, l);
    bool locked = s5_listener_try_lock(e, l);
    if (locked)
        r = check_second_reply(e, record, l, fd, flags, ret);
    s5_cleanup_allow_cancel(cancel);
    if (r == S5_RESULT_RENEW && (r = s5_listener_renew(e, record, call, ticket)) == 0)
        r = -EAGAIN;
    if (locked && s5_cleanup_owns(call, ticket))
        s5_listener_unlock(l);
    s5_listener_end_call(e, record, call, ticket);
    return r;
}

/* Waits for a connection: 0; -EAGAIN: UNTIL passed; -EINTR. If another thread or process has the lock, no event
 * reports the change, so the wait is short then (10 ms; otherwise 1 s). */
static int wait_for_connection(struct s5_engine *e, struct s5_record *record, int fd, uint64_t until)
{
    struct pollfd p[3] = {{record->more->control, POLLIN, 0}, {record->more->wakeup_fd, POLLIN, 0}, {fd, 0, 0}};
    uint64_t now = s5_clock_now(), wake_at = now + S5_CLOCK_SECOND;
    struct s5_listener *l = s5_listener_shared(record);
    if (now >= until)
        return -EAGAIN;
    if (l && atomic_load(&l->lock)) {
        p[0].fd = p[1].fd = -1;
        wake_at = now + S5_CLOCK_SECOND / 100;
    }
    int r = s5_inflight_poll(e, p, 3, wake_at < until ? wake_at : until);
    if (r == -EINTR && until == S5_CLOCK_NEVER && s5_inflight_restarts())
        return 0;
    return r < 0 ? r : 0;
}

/* If several threads wait for the same listener, the kernel wakes all of them here and gives the connection to one.
 * The others continue to wait in the kernel. */
static int real_accept(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    bool waits = s5_registry_in_flight_count(&e->registry) && s5_bind_listens(e, fd);
    int r = waits ? s5_inflight_await(e, fd, POLLIN, S5_RCVTIMEO) : 0;
    if (r < 0)
        return r;
    r = e->real->accept4(fd, addr, len, flags);
    return r < 0 ? -errno : r;
}

int s5_accept(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    s5_cleanup_look_here();
    struct s5_record *record = s5_listener_find(e, fd);
    struct s5_endpoint peer = {.len = 0};
    if (!record || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)))
        return real_accept(e, fd, addr, len, flags);
    int status = e->real->fcntl(fd, F_GETFL, 0), r, saved = errno;
    uint64_t until = status & O_NONBLOCK ? 0 : s5_inflight_block_until(e, fd, S5_RCVTIMEO);
    while ((r = try_accept(e, record, fd, flags, &peer)) == -EAGAIN) {
        if ((r = wait_for_connection(e, record, fd, until)) < 0)
            break;
        if (!(record = s5_listener_find(e, fd)))
            return real_accept(e, fd, addr, len, flags);
    }
    errno = saved;
    int error = r >= 0 && addr ? s5_endpoint_tell(&peer, addr, len) : 0;
    if (error < 0) { /* the connection is closed, as by the kernel */
        s5_close(e, r);
        return error;
    }
    return r;
}
