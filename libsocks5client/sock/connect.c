/* connect(): from the application's address to a route, a server and a flight; and what the flight
 * comes to.
 *
 * The record is in the registry and its epoll registrations are borrowed before connect() to the
 * server begins, so that no thread sees readiness that is not the application's. A non-blocking
 * socket is left in flight; a blocking one is driven here to its end. Whoever finds a flight over
 * settles the record: exactly one thread wins the change of state, puts the registrations back and
 * lets the flight go. */
#include "clock.h"
#include "engine.h"
#include "error.h"
#include "reply.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

/* --- records and their flights --- */

/* RECORD's flight, held so that it stays what it is until s5_flight_release; NULL when RECORD is
 * not in flight or its flight was reclaimed. */
static struct s5_flight *pinned(const struct s5_record *record)
{
    struct s5_flight *f = atomic_load(&record->flight);
    if (!f || atomic_load(&record->state) != S5_RECORD_FLYING)
        return NULL;
    return s5_flight_pin(f, record->flight_generation) ? f : NULL;
}

static void log_outcome(struct s5_engine *e, const struct s5_flight *f, int error)
{
    if (e->log.level < S5_LOG_INFO)
        return;
    const struct s5_server *server = &e->policy->servers[f->server_index];
    char to[S5_ADDR_TEXT_MAX];
    struct s5_addr peer;
    if (s5_addr_from_sockaddr(&peer, &f->peer.any, f->peer.len) < 0)
        return;
    s5_addr_format(&peer, to, sizeof to);
    uint64_t ms = (s5_clock_now() - f->begun) / 1000000;
    const char *name = s5_policy_text(e->policy, server->name);
    if (error == 0)
        s5_log(&e->log, S5_LOG_INFO, "connect %s via \"%s\": connected in %llu ms", to, name,
               (unsigned long long)ms);
    else
        s5_log(&e->log, S5_LOG_INFO, "connect %s via \"%s\": %s (waiting for %s, %s) after %llu ms",
               to, name, s5_error_text(error), s5_session_phase(&f->session),
               f->session.have_rep ? s5_reply_text(f->session.rep) : "no reply",
               (unsigned long long)ms);
}

/* The record's own reference. */
static void give_up(struct s5_engine *e, struct s5_record *record)
{
    struct s5_flight *f = atomic_exchange(&record->flight, NULL);
    if (f && atomic_load(&f->generation) == record->flight_generation)
        s5_flight_release(e, f);
}

static void give_back(void *user, int fd, struct s5_slot *slot)
{
    (void)slot;
    s5_epoll_give_back(user, fd);
}

void s5_connect_settle(struct s5_engine *e, struct s5_record *record)
{
    uint32_t flying = S5_RECORD_FLYING;
    if (!atomic_compare_exchange_strong(&record->state, &flying, S5_RECORD_SETTLING))
        return;
    struct s5_flight *f = atomic_load(&record->flight);
    bool lost = atomic_load(&f->generation) != record->flight_generation;
    record->error = lost ? -ETIMEDOUT : f->error;
    bool ready = !lost && atomic_load(&f->phase) == S5_FLIGHT_READY;
    if (!lost)
        log_outcome(e, f, record->error);
    atomic_store(&record->state, ready ? S5_RECORD_READY : S5_RECORD_FAILED);
    /* Out of the list first: from here on events are the application's, and none that the next
     * line brings about may be taken for the negotiation's. */
    s5_registry_land(&e->registry, record);
    s5_registry_each(&e->registry, record, give_back, e);
    give_up(e, record);
}

/* The socket a record was made for is what its descriptor names still? A program may have closed
 * it where no hook sees it. */
static bool same_socket(struct s5_engine *e, const struct s5_record *record, int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    int saved = errno;
    bool same = e->real->getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 &&
                cookie == record->cookie;
    errno = saved;
    return same;
}

static enum s5_turn turn(struct s5_engine *e, struct s5_record *record, struct s5_flight *f)
{
    int fd = atomic_load(&record->fd);
    if (atomic_load(&f->phase) == S5_FLIGHT_DIALING && !same_socket(e, record, fd)) {
        s5_connect_forget(e, fd);
        return S5_TURN_OVER;
    }
    enum s5_turn turn = s5_flight_turn(e, f, fd);
    if (turn == S5_TURN_OVER)
        s5_connect_settle(e, record);
    return turn;
}

enum s5_turn s5_connect_turn(struct s5_engine *e, struct s5_record *record)
{
    struct s5_flight *f = pinned(record);
    if (!f) {
        s5_connect_settle(e, record);
        return S5_TURN_GONE;
    }
    enum s5_turn result = turn(e, record, f);
    s5_flight_release(e, f);
    return result;
}

struct s5_record *s5_connect_flying(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_FLYING)
        return NULL;
    struct s5_flight *f = pinned(record);
    bool over = !f || atomic_load(&f->phase) >= S5_FLIGHT_READY;
    if (f)
        s5_flight_release(e, f);
    if (over)
        s5_connect_settle(e, record);
    return over ? NULL : record;
}

void s5_connect_forget(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record)
        return;
    /* A turn under way on this descriptor must end before the number means something else. */
    struct s5_flight *f = pinned(record);
    bool locked = f && s5_flight_lock(e, f);
    record = s5_registry_drop(&e->registry, fd);
    if (locked)
        s5_flight_unlock(f);
    if (f)
        s5_flight_release(e, f);
    if (!record)
        return;
    uint32_t flying = S5_RECORD_FLYING;
    if (atomic_compare_exchange_strong(&record->state, &flying, S5_RECORD_SETTLING)) {
        s5_registry_land(&e->registry, record);
        give_up(e, record);
    }
    s5_registry_free(&e->registry, record);
}

/* --- driving a blocking one --- */

/* poll() is never restarted after a signal, connect() is where the handler asks for it: so it is
 * here, unless some handler of the program does not. */
static bool restarts(void)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction action;
        if (sigaction(sig, NULL, &action) != 0)
            continue;
        if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
            !(action.sa_flags & SA_RESTART))
            return false;
    }
    return true;
}

/* The point until which a blocking call on FD may take, by the application's SO_SNDTIMEO. */
static uint64_t patience(struct s5_engine *e, int fd)
{
    struct timeval own = {0, 0};
    socklen_t len = sizeof own;
    e->real->getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &own, &len);
    struct timespec ts = {own.tv_sec, own.tv_usec * 1000};
    return own.tv_sec || own.tv_usec ? s5_clock_after(&ts) : S5_CLOCK_NEVER;
}

/* What a flight that is over came to. An error told is forgotten: the next connect() begins
 * afresh. */
static int outcome(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (atomic_load(&record->state) != S5_RECORD_FAILED)
        return 0;
    int error = record->error;
    s5_connect_forget(e, fd);
    return error;
}

/* Waits for the next turn: 0, -EINPROGRESS when UNTIL passed, -EINTR. */
static int wait_turn(struct s5_engine *e, struct s5_flight *f, int fd, uint64_t until)
{
    uint64_t now = s5_clock_now(), wake = atomic_load(&f->wake);
    struct timespec left;
    struct pollfd p = {fd, atomic_load(&f->wants), 0};
    if (now >= until)
        return -EINPROGRESS;
    int n = e->real->ppoll(&p, 1, s5_clock_left(wake < until ? wake : until, now, &left), NULL);
    if (n < 0 && errno == EINTR)
        return restarts() ? 0 : -EINTR;
    return n < 0 ? -errno : 0;
}

/* To the end of the flight: 0 or its error; -EINPROGRESS when UNTIL passed, -EINTR. */
static int drive(struct s5_engine *e, struct s5_record *record, int fd, uint64_t until)
{
    struct s5_flight *f = pinned(record);
    int r = 0;
    while (f && r == 0 && s5_flight_turn(e, f, fd) != S5_TURN_OVER)
        r = wait_turn(e, f, fd, until);
    if (f)
        s5_flight_release(e, f);
    if (r < 0)
        return r;
    s5_connect_settle(e, record);
    return outcome(e, record, fd);
}

/* --- connect() on what is ours already --- */

static bool nonblocking(struct s5_engine *e, int fd)
{
    int flags = e->real->fcntl(fd, F_GETFL, 0);
    return flags >= 0 && (flags & O_NONBLOCK);
}

/* 1 when FD is not ours (any more) and connect() begins afresh, else its result. */
static int connect_again(struct s5_engine *e, struct s5_record *record, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (!same_socket(e, record, fd)) {
        s5_connect_forget(e, fd);
        return 1;
    }
    s5_connect_turn(e, record);
    switch ((enum s5_record_state)atomic_load(&record->state)) {
    case S5_RECORD_FLYING:
    case S5_RECORD_SETTLING:
        if (nonblocking(e, fd))
            return -EALREADY;
        return drive(e, record, fd, patience(e, fd));
    case S5_RECORD_FAILED:
        return outcome(e, record, fd);
    case S5_RECORD_READY:
        /* The kernel tells 0 once, then EISCONN; were it unconnected again (a reset), the
         * server's address must not be dialled bare. */
        if (e->real->getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
            return e->real->connect(fd, &record->server.any, record->server.len) == 0 ? 0 : -errno;
        break;
    case S5_RECORD_FREE:
        break;
    }
    s5_connect_forget(e, fd);
    return 1;
}

/* --- connect() from the start --- */

/* The address of SERVER a socket of FAMILY can reach. */
static int choose(struct s5_engine *e, const struct s5_server *server, int family,
                  struct s5_endpoint *ret)
{
    for (unsigned i = 0; i < server->n_addrs; i++) {
        const struct s5_ip *ip = &server->addrs[i];
        struct s5_addr addr = {.kind = ip->kind, .port = server->port};
        struct sockaddr_storage sa;
        socklen_t len;
        memcpy(addr.octets, ip->octets, sizeof ip->octets);
        if (s5_addr_to_sockaddr(&addr, family, &sa, &len) < 0)
            continue;
        ret->len = len;
        memcpy(&ret->any, &sa, len);
        return 0;
    }
    s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" has no address that an %s socket reaches",
           s5_policy_text(e->policy, server->name), family == AF_INET ? "IPv4" : "IPv6");
    return -EAFNOSUPPORT;
}

/* Duplicates made before the socket was ours name the same record. */
static void find_duplicates(struct s5_engine *e, struct s5_record *record, int fd)
{
    uint32_t at = 0;
    for (int other; (other = s5_registry_next_dup(&e->registry, fd, &at)) >= 0;)
        if (s5_registry_foreign(&e->registry, other) && same_socket(e, record, other) &&
            s5_registry_share(&e->registry, other, record) == 0)
            s5_epoll_borrow(e, other);
}

static int new_record(struct s5_engine *e, int fd, struct s5_flight *f, struct s5_record **ret)
{
    struct s5_record *record = s5_registry_add(&e->registry, fd);
    if (!record)
        return -ENOBUFS;
    socklen_t len = sizeof record->cookie;
    e->real->getsockopt(fd, SOL_SOCKET, SO_COOKIE, &record->cookie, &len);
    f->cookie = record->cookie;
    record->peer = f->peer;
    record->server = f->server;
    record->flight_generation = atomic_load(&f->generation);
    atomic_store(&record->flight, f);
    atomic_store(&record->state, S5_RECORD_FLYING);
    if (s5_registry_take_off(&e->registry, record) < 0) {
        s5_registry_free(&e->registry, s5_registry_drop(&e->registry, fd));
        return -ENOBUFS;
    }
    *ret = record;
    return 0;
}

/* A socket bound to loopback cannot leave: the kernel's EINVAL says too little. */
static int why_not(struct s5_engine *e, int fd, int error)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    struct s5_addr addr;
    if (error != -EINVAL || e->real->getsockname(fd, (struct sockaddr *)&own, &len) != 0 ||
        s5_addr_from_sockaddr(&addr, (struct sockaddr *)&own, len) < 0 ||
        !s5_addr_is_loopback(&addr))
        return error;
    s5_log(&e->log, S5_LOG_ERROR, "refused: a socket bound to loopback cannot reach a server");
    return -EAFNOSUPPORT;
}

static int unreachable(struct s5_engine *e, struct s5_record *record, struct s5_flight *f, int fd,
                       int error)
{
    error = why_not(e, fd, error);
    s5_log(&e->log, S5_LOG_WARNING, "server \"%s\" cannot be reached: %s",
           s5_policy_text(e->policy, e->policy->servers[f->server_index].name),
           s5_error_text(error));
    if (s5_flight_lock(e, f)) {
        s5_flight_fail(e, f, fd, error);
        s5_flight_unlock(f);
    }
    s5_connect_settle(e, record);
    return outcome(e, record, fd);
}

/* F carries a reference of this function's own beside the record's. */
static int fly(struct s5_engine *e, int fd, struct s5_flight *f)
{
    struct s5_record *record;
    bool nonblock = nonblocking(e, fd);
    int r = new_record(e, fd, f, &record);
    if (r < 0) {
        s5_flight_release(e, f); /* the record's, which there is none of */
        return r;
    }
    s5_epoll_borrow(e, fd);
    find_duplicates(e, record, fd);
    r = s5_flight_dial(e, f, fd, nonblock);
    if (r == -EINPROGRESS || r == -EINTR)
        return r;
    if (r < 0)
        return unreachable(e, record, f, fd, r);
    if (!nonblock)
        return drive(e, record, fd, f->patience);
    return s5_connect_turn(e, record) >= S5_TURN_OVER ? outcome(e, record, fd) : -EINPROGRESS;
}

static int via(struct s5_engine *e, int fd, const struct sockaddr *sa, socklen_t len,
               const struct s5_addr *to, const struct s5_server *server)
{
    int r = s5_resolve_server(e, e->policy, (struct s5_server *)(uintptr_t)server);
    struct s5_endpoint at = {0};
    if (r == 0)
        r = choose(e, server, sa->sa_family, &at);
    if (r < 0)
        return r;
    struct s5_flight *f = s5_flight_take(e);
    if (!f) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: too many connections are being negotiated");
        return -ENOBUFS;
    }
    f->server = at;
    f->peer.len = len < sizeof f->peer.v6 ? len : sizeof f->peer.v6;
    memcpy(&f->peer.any, sa, f->peer.len);
    r = s5_flight_begin(e, f, server, to);
    if (r == 0) {
        s5_flight_pin(f, atomic_load(&f->generation));
        r = fly(e, fd, f);
        s5_flight_release(e, f);
        return r;
    }
    s5_flight_release(e, f);
    s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" offers no method this program can use",
           s5_policy_text(e->policy, server->name));
    return r == -EINVAL ? -EOPNOTSUPP : r;
}

static int real_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    return e->real->connect(fd, addr, len) == 0 ? 0 : -errno;
}

static int connect_inet(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct s5_addr to;
    const struct s5_server *server = NULL;
    int protocol = 0;
    socklen_t size = sizeof protocol;
    int r = s5_addr_from_sockaddr(&to, addr, len);
    if (r < 0)
        return real_connect(e, fd, addr, len); /* too short: the kernel refuses it */
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0)
        return -errno;
    uint8_t kind = s5_route_protocol(protocol);
    if (kind != S5_PROTO_TCP)
        r = s5_route_direct_only(e, &to, kind, kind == S5_PROTO_UDP ? S5_CMD_UDP : S5_CMD_CONNECT,
                                 "anything but TCP");
    else
        r = s5_route(e, &to, kind, S5_CMD_CONNECT, &server);
    if (r > 0)
        return via(e, fd, addr, len, &to, server);
    return r < 0 ? r : real_connect(e, fd, addr, len);
}

int s5_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in6 whole = {0};
    if (s5_engine_inside || !addr || len < sizeof addr->sa_family)
        return real_connect(e, fd, addr, len);
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (addr->sa_family == AF_UNSPEC && record)
        s5_connect_forget(e, fd);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
        return real_connect(e, fd, addr, len);
    if (record) {
        int r = connect_again(e, record, fd);
        if (r <= 0)
            return r;
    }
    /* The kernel takes an IPv6 address without its scope; we want it whole. */
    if (addr->sa_family == AF_INET6 && len >= 24 && len < sizeof whole) {
        memcpy(&whole, addr, len);
        return connect_inet(e, fd, (struct sockaddr *)&whole, sizeof whole);
    }
    return connect_inet(e, fd, addr, len);
}

int s5_connect_await(struct s5_engine *e, int fd, bool nonblock)
{
    struct s5_record *record = s5_connect_flying(e, fd);
    if (!record)
        return 0;
    if (nonblock || nonblocking(e, fd))
        return s5_connect_turn(e, record) >= S5_TURN_OVER ? 0 : -EAGAIN;
    int r = drive(e, record, fd, patience(e, fd));
    return r == -EINPROGRESS ? -EAGAIN : r;
}
