/* Descriptors refer to sockets. A socket exists as long as a descriptor, or a message in the UNIX socket, refers
 * to it. The errnos and the readiness are those shown by tests/kernel and by the kernel's source, with the order
 * of checks of tcp_sendmsg(), tcp_recvmsg() and tcp_poll(). */
#include "fake_net.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#define SOCKS 96
#define FDS   1024
#define ITEMS 16
#define STEP  1000000ull /* ns: the duration of a step of the network */
#define QUEUE 4

enum kind { FREE, STREAM, DGRAM, UNIX, EPOLL, TIMER };
enum end { NO_END, FIN, RST };

struct item {
    int fd, sock; /* fd -1: unused */
    uint32_t events;
    uint64_t data;
    bool ready, disarmed;
};

struct sock {
    enum kind kind;
    int refs, family;
    bool nonblock, v6only, listening;
    int rcvlowat; /* 0 means 1 */
    uint64_t cookie;
    struct timeval timeouts[2]; /* SO_RCVTIMEO, SO_SNDTIMEO */
    struct sockaddr_in6 local, peer;
    socklen_t peer_len; /* 0: none */
    /* STREAM */
    int state; /* TCP_CLOSE, TCP_SYN_SENT, TCP_ESTABLISHED, TCP_LISTEN */
    int error; /* SO_ERROR */
    bool shut_in, shut_out, fin; /* fin: the peer's end has been received */
    struct fake_peer *server;
    uint8_t in[1024];
    size_t n_in, shown, taken; /* octets sent by the server, delivered, read */
    enum end end;
    bool end_shown;
    uint64_t heard; /* ns: time of the last arrival from the server */
    size_t written;
    bool full; /* nothing more can be written in this step */
    /* DGRAM and UNIX: received messages */
    struct fake_datagram queue[QUEUE];
    unsigned queued;
    int rights[2];
    unsigned n_rights;
    /* EPOLL, TIMER */
    struct item items[ITEMS];
    uint64_t expires; /* 0: never */
};

struct fake_net fake_net;
static struct sock socks[SOCKS];
static struct {
    int sock; /* index + 1 */
    bool cloexec;
} fds[FDS];
static uint64_t cookies;
static uint16_t ports;

static int fail_with(int error)
{
    errno = error;
    return -1;
}

/* --- time --- */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *length, struct timespec *left);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)
        return __real_clock_gettime(clock, ret);
    *ret = (struct timespec){(time_t)(fake_net.now / S5_CLOCK_SECOND),
                             (long)(fake_net.now % S5_CLOCK_SECOND)};
    return 0;
}

int __wrap_nanosleep(const struct timespec *length, struct timespec *left)
{
    (void)left;
    fake_net.now += (uint64_t)length->tv_sec * S5_CLOCK_SECOND + (uint64_t)length->tv_nsec;
    return 0;
}

/* --- descriptors --- */

static struct sock *find_sock(int fd)
{
    return fd >= 0 && fd < FDS && fds[fd].sock ? &socks[fds[fd].sock - 1] : NULL;
}

static int get_index(const struct sock *s)
{
    return (int)(s - socks);
}

static int add_fd(struct sock *s, int from, bool cloexec)
{
    for (int fd = from < FAKE_FIRST ? FAKE_FIRST : from; fd < FDS; fd++)
        if (!fds[fd].sock && fcntl(fd, F_GETFD) < 0) { /* nor a real one, such as that of the shared state */
            fds[fd].sock = get_index(s) + 1;
            fds[fd].cloexec = cloexec;
            s->refs++;
            return fd;
        }
    return fail_with(EMFILE);
}

static struct sock *make_sock(enum kind kind)
{
    for (int i = 0; i < SOCKS; i++)
        if (socks[i].kind == FREE) {
            memset(&socks[i], 0, sizeof socks[i]);
            socks[i].kind = kind;
            socks[i].cookie = ++cookies;
            socks[i].state = TCP_CLOSE;
            for (int k = 0; k < ITEMS; k++)
                socks[i].items[k].fd = -1;
            return &socks[i];
        }
    cr_assert(false, "more than %d sockets at a time", SOCKS);
    return NULL;
}

/* Marks S as ready in all epoll instances that it is registered with. */
static void mark_ready(const struct sock *s)
{
    for (int i = 0; i < SOCKS; i++)
        for (int k = 0; socks[i].kind == EPOLL && k < ITEMS; k++)
            if (socks[i].items[k].fd >= 0 && socks[i].items[k].sock == get_index(s)) {
                socks[i].items[k].ready = true;
                mark_ready(&socks[i]);
            }
}

static void run_script(struct fake_peer *p)
{
    if (fake_net.script)
        fake_net.script(p);
}

static void end_at_server(struct sock *s)
{
    struct fake_peer *p = s->server;
    s->server = NULL;
    if (!p)
        return;
    p->sock = -1;
    p->ended = true;
    run_script(p);
}

static void release_sock(struct sock *s)
{
    if (--s->refs)
        return;
    for (int i = 0; i < SOCKS; i++)
        for (int k = 0; socks[i].kind == EPOLL && k < ITEMS; k++)
            if (socks[i].items[k].sock == get_index(s))
                socks[i].items[k].fd = -1;
    s->kind = FREE;
    end_at_server(s);
    for (unsigned i = 0; i < s->n_rights; i++)
        release_sock(&socks[s->rights[i]]);
}

int fake_open(void)
{
    int n = 0;
    for (int fd = 0; fd < FDS; fd++)
        n += fds[fd].sock != 0;
    return n;
}

int fake_alive(void)
{
    int n = 0;
    for (int i = 0; i < SOCKS; i++)
        n += socks[i].kind != FREE;
    return n;
}

void fake_reset(void)
{
    uint64_t now = fake_net.now ? fake_net.now : 1000 * S5_CLOCK_SECOND;
    fake_net = (struct fake_net){.now = now + 60 * S5_CLOCK_SECOND};
    memset(socks, 0, sizeof socks);
    memset(fds, 0, sizeof fds);
    ports = 0;
}

/* --- the network --- */

/* Delivers what the server has sent: octets first, then the end of the stream. Returns true if anything changed. */
static bool deliver_octets(struct sock *s)
{
    const struct fake_manner *m = &fake_net.manner;
    size_t before = s->shown;
    bool ended = s->end_shown;
    if (s->state == TCP_CLOSE)
        return false;
    if (m->each && s->shown < s->n_in)
        s->shown++;
    else if (s->shown < m->cut_in && m->cut_in < s->n_in)
        s->shown = m->cut_in;
    else
        s->shown = s->n_in;
    if (s->shown == s->n_in && s->end != NO_END && (!m->apart || before == s->n_in))
        s->end_shown = true;
    if (s->end_shown && !ended) {
        s->fin = s->end == FIN;
        if (s->end == RST) {
            s->error = ECONNRESET;
            s->state = TCP_CLOSE;
            s->shut_in = s->shut_out = true;
        }
    }
    if (s->shown != before || s->end_shown != ended)
        s->heard = fake_net.now;
    return s->shown != before || s->end_shown != ended;
}

static bool answer_dial(struct sock *s)
{
    struct fake_peer *p;
    if (fake_net.dial == FAKE_SILENCE)
        return false;
    if (fake_net.dial != FAKE_ACCEPT) {
        s->state = TCP_CLOSE;
        s->error = fake_net.dial == FAKE_REFUSE ? ECONNREFUSED : EHOSTUNREACH;
        s->shut_in = s->shut_out = true;
        return true;
    }
    cr_assert(fake_net.n_peers < sizeof fake_net.peers / sizeof *fake_net.peers);
    p = &fake_net.peers[fake_net.n_peers++];
    *p = (struct fake_peer){.used = true, .sock = get_index(s), .user = fake_net.user};
    s->state = TCP_ESTABLISHED;
    s->heard = fake_net.now;
    s->server = p;
    run_script(p);
    return true;
}

/* Returns true if anything moved. Time advances only then. */
static bool run_step(void)
{
    bool any = false;
    for (int i = 0; i < SOCKS; i++) {
        struct sock *s = &socks[i];
        if (s->kind != STREAM)
            continue;
        bool moved = s->state == TCP_SYN_SENT ? answer_dial(s) : deliver_octets(s) || s->full;
        s->full = false;
        any |= moved;
        if (moved)
            mark_ready(s);
    }
    if (any)
        fake_net.now += STEP;
    return any;
}

static void end_stream(struct fake_peer *p, enum end end)
{
    struct sock *s = p->sock < 0 ? NULL : &socks[p->sock];
    if (!s || s->end == RST)
        return;
    if (s->end == FIN) { /* a reset after an end that was delivered already */
        s->end_shown = false;
        s->end = end;
        return;
    }
    s->end = end;
    if (fake_net.manner.eager && deliver_octets(s))
        mark_ready(s);
}

const uint8_t *fake_look(const struct fake_peer *p, size_t n)
{
    return p->n_heard - p->n_taken < n ? NULL : p->heard + p->n_taken;
}

const uint8_t *fake_take(struct fake_peer *p, size_t n)
{
    const uint8_t *at = fake_look(p, n);
    p->n_taken += at ? n : 0;
    return at;
}

void fake_say(struct fake_peer *p, const void *octets, size_t n)
{
    struct sock *s = p->sock < 0 ? NULL : &socks[p->sock];
    if (!s || s->end == RST || n == 0)
        return;
    cr_assert(s->n_in + n <= sizeof s->in);
    memcpy(s->in + s->n_in, octets, n);
    s->n_in += n;
    if (fake_net.manner.eager && deliver_octets(s))
        mark_ready(s);
}

void fake_half_close(struct fake_peer *p)
{
    end_stream(p, FIN);
}

void fake_rst(struct fake_peer *p)
{
    struct sock *s = p->sock < 0 ? NULL : &socks[p->sock];
    end_stream(p, RST);
    if (s)
        s->server = NULL;
    p->sock = -1;
}

void fake_close(struct fake_peer *p)
{
    if (p->n_taken < p->n_heard)
        fake_rst(p);
    else
        end_stream(p, FIN);
    p->stage = -1; /* later writes of the client are answered with a reset */
}

/* --- readiness --- */

static short get_readiness(const struct sock *s);

/* True if an epoll instance has something to report. */
static bool has_events(const struct sock *e)
{
    for (int k = 0; k < ITEMS; k++)
        if (e->items[k].fd >= 0 && e->items[k].ready && !e->items[k].disarmed &&
            get_readiness(&socks[e->items[k].sock]) & (short)(e->items[k].events | EPOLLERR | EPOLLHUP))
            return true;
    return false;
}

static short get_readiness(const struct sock *s)
{
    size_t least = s->rcvlowat > 0 ? (size_t)s->rcvlowat : 1;
    bool in = s->shown - s->taken >= least || s->fin || s->shut_in;
    switch (s->kind) {
    case STREAM:
        if (s->state == TCP_SYN_SENT)
            return 0;
        if (s->state == TCP_LISTEN)
            return 0; /* no connection gets through */
        if (s->state == TCP_CLOSE && !s->shut_out && !s->error)
            return POLLOUT | POLLWRNORM | POLLHUP;
        return (short)((in ? POLLIN | POLLRDNORM : 0) |
                       (s->fin || s->shut_in ? POLLRDHUP : 0) |
                       (s->full && !s->shut_out ? 0 : POLLOUT | POLLWRNORM) |
                       (s->error ? POLLERR : 0) |
                       (s->state == TCP_CLOSE || ((s->fin || s->shut_in) && s->shut_out) ? POLLHUP
                                                                                         : 0));
    case DGRAM:
    case UNIX:
        return (short)(POLLOUT | POLLWRNORM | (s->queued ? POLLIN | POLLRDNORM : 0));
    case TIMER:
        return s->expires && fake_net.now >= s->expires ? POLLIN : 0;
    case EPOLL:
        return has_events(s) ? POLLIN : 0;
    default:
        return 0;
    }
}

/* Returns when the next running timer expires. */
static uint64_t next_timer(void)
{
    uint64_t next = S5_CLOCK_NEVER;
    for (int i = 0; i < SOCKS; i++)
        if (socks[i].kind == TIMER && socks[i].expires > fake_net.now && socks[i].expires < next)
            next = socks[i].expires;
    return next;
}

static void mark_timers_ready(uint64_t before)
{
    for (int i = 0; i < SOCKS; i++)
        if (socks[i].kind == TIMER && socks[i].expires > before &&
            socks[i].expires <= fake_net.now)
            mark_ready(&socks[i]);
}

/* Advances the network, or the time, by one step. Returns false if UNTIL has passed. */
static bool advance_time(uint64_t until)
{
    uint64_t before = fake_net.now, next = next_timer();
    cr_assert(++fake_net.waits < 100000, "a loop that waits for nothing");
    if (before >= until)
        return false;
    if (!run_step()) {
        next = next < until ? next : until;
        cr_assert(next != S5_CLOCK_NEVER, "a wait that never ends");
        fake_net.now = next;
    }
    mark_timers_ready(before);
    return true;
}

static uint64_t time_after(const struct timespec *timeout)
{
    return s5_clock_later(fake_net.now, timeout);
}

static uint64_t after_timeval(const struct timeval *limit)
{
    struct timespec ts = {limit->tv_sec, limit->tv_usec * 1000};
    return timerisset(limit) ? time_after(&ts) : S5_CLOCK_NEVER;
}

static int check_ready(struct pollfd *p, nfds_t n)
{
    int ready = 0;
    for (nfds_t i = 0; i < n; i++) {
        const struct sock *s = find_sock(p[i].fd);
        p[i].revents = 0;
        if (p[i].fd >= 0)
            p[i].revents = s ? get_readiness(s) & (p[i].events | POLLERR | POLLHUP) : POLLNVAL;
        ready += p[i].revents != 0;
    }
    return ready;
}

static int wait_for(struct pollfd *p, nfds_t n, uint64_t until)
{
    int ready;
    while (!(ready = check_ready(p, n)) && advance_time(until))
        ;
    return ready;
}

static int fake_ppoll(struct pollfd *p, nfds_t n, const struct timespec *timeout,
                      const sigset_t *mask)
{
    (void)mask;
    return wait_for(p, n, time_after(timeout));
}

static int fake_poll(struct pollfd *p, nfds_t n, int timeout)
{
    struct timespec ts = {timeout / 1000, timeout % 1000 * 1000000l};
    return wait_for(p, n, time_after(timeout < 0 ? NULL : &ts));
}

static int fake_pselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
                        const sigset_t *mask)
{
    struct pollfd p[64];
    nfds_t used = 0;
    int bits = 0;
    (void)mask;
    for (int fd = 0; fd < n; fd++) {
        short events = (short)((in && FD_ISSET(fd, in) ? POLLIN : 0) |
                               (out && FD_ISSET(fd, out) ? POLLOUT : 0) |
                               (ex && FD_ISSET(fd, ex) ? POLLPRI : 0));
        cr_assert(used < 64);
        if (events)
            p[used++] = (struct pollfd){fd, events, 0};
    }
    for (nfds_t i = 0; i < used; i++)
        if (!find_sock(p[i].fd))
            return fail_with(EBADF);
    /* As in select(), a hang-up alone does not make a descriptor writable. */
    uint64_t until = time_after(timeout);
    for (;;) {
        check_ready(p, used);
        bits = 0;
        for (nfds_t i = 0; i < used; i++) {
            short r = p[i].revents, e = p[i].events;
            bits += (e & POLLIN && r & (POLLIN | POLLHUP | POLLERR)) +
                    (e & POLLOUT && r & (POLLOUT | POLLERR));
        }
        if (bits || !advance_time(until))
            break;
    }
    for (nfds_t i = 0; i < used; i++) {
        short r = p[i].revents;
        if (in && !(r & (POLLIN | POLLHUP | POLLERR)))
            FD_CLR(p[i].fd, in);
        if (out && !(r & (POLLOUT | POLLERR)))
            FD_CLR(p[i].fd, out);
        if (ex)
            FD_CLR(p[i].fd, ex);
    }
    return bits;
}

/* --- epoll --- */

static int fake_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
    struct sock *e = find_sock(ep), *s = find_sock(fd);
    struct item *item = NULL, *unused = NULL;
    if (!e || !s)
        return fail_with(EBADF);
    if (e->kind != EPOLL || s == e)
        return fail_with(EINVAL);
    for (int k = 0; k < ITEMS; k++) {
        if (e->items[k].fd == fd && e->items[k].sock == get_index(s))
            item = &e->items[k];
        else if (e->items[k].fd < 0)
            unused = &e->items[k];
    }
    if (op == EPOLL_CTL_ADD ? item != NULL : item == NULL)
        return fail_with(op == EPOLL_CTL_ADD ? EEXIST : ENOENT);
    if (op == EPOLL_CTL_DEL) {
        item->fd = -1;
        return 0;
    }
    item = item ? item : unused;
    cr_assert(item, "more than %d registrations", ITEMS);
    *item = (struct item){fd, get_index(s), event->events, event->data.u64, false, false};
    item->ready = get_readiness(s) & (short)(event->events | EPOLLERR | EPOLLHUP);
    return 0;
}

static int report_events(struct sock *e, struct epoll_event *events, int max)
{
    int n = 0;
    for (int k = 0; k < ITEMS && n < max; k++) {
        struct item *item = &e->items[k];
        if (item->fd < 0 || !item->ready || item->disarmed)
            continue;
        uint32_t asked = item->events | EPOLLERR | EPOLLHUP;
        uint32_t now = (uint32_t)(uint16_t)get_readiness(&socks[item->sock]) & asked;
        item->ready = now && !(item->events & EPOLLET);
        item->disarmed = now && item->events & EPOLLONESHOT;
        if (now)
            events[n++] = (struct epoll_event){.events = now, .data.u64 = item->data};
    }
    return n;
}

static int epoll_until(int ep, struct epoll_event *events, int max, uint64_t until)
{
    struct sock *e = find_sock(ep);
    int n;
    if (!e)
        return fail_with(EBADF);
    while (!(n = report_events(e, events, max)) && advance_time(until))
        ;
    return n;
}

static int fake_epoll_pwait2(int ep, struct epoll_event *events, int max,
                             const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    return epoll_until(ep, events, max, time_after(timeout));
}

static int fake_epoll_pwait(int ep, struct epoll_event *events, int max, int ms,
                            const sigset_t *mask)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000l};
    return fake_epoll_pwait2(ep, events, max, ms < 0 ? NULL : &ts, mask);
}

static int fake_epoll_wait(int ep, struct epoll_event *events, int max, int ms)
{
    return fake_epoll_pwait(ep, events, max, ms, NULL);
}

int fake_epoll(void)
{
    return add_fd(make_sock(EPOLL), 0, true);
}

/* --- making, closing, options --- */

int fake_socket(int family, int type)
{
    struct sock *s = make_sock(family == AF_UNIX            ? UNIX
                               : (type & 0xf) == SOCK_DGRAM ? DGRAM
                                                       : STREAM);
    s->family = family;
    s->nonblock = type & SOCK_NONBLOCK;
    return add_fd(s, 0, type & SOCK_CLOEXEC);
}

static int table_socket(int family, int type, int protocol)
{
    (void)protocol;
    return fake_socket(family, type);
}

static int table_close(int fd)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    fds[fd].sock = 0;
    release_sock(s);
    return 0;
}

static int table_fcntl(int fd, int command, long arg)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    switch (command) {
    case F_GETFL:
        return O_RDWR | (s->nonblock ? O_NONBLOCK : 0);
    case F_SETFL:
        s->nonblock = arg & O_NONBLOCK;
        return 0;
    case F_GETFD:
        return fds[fd].cloexec ? FD_CLOEXEC : 0;
    case F_SETFD:
        fds[fd].cloexec = arg & FD_CLOEXEC;
        return 0;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return add_fd(s, (int)arg, command == F_DUPFD_CLOEXEC);
    default:
        return fail_with(EINVAL);
    }
}

static int copy_out(const void *from, size_t size, void *value, socklen_t *len)
{
    *len = *len < size ? *len : (socklen_t)size;
    memcpy(value, from, *len);
    return 0;
}

static int copy_int_out(int from, void *value, socklen_t *len)
{
    return copy_out(&from, sizeof from, value, len);
}

static int fake_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct sock *s = find_sock(fd);
    struct {
        struct tcp_info info; /* as long as the kernel's, as far as it is used */
        uint64_t rates[2], acked;
    } whole = {.info = {.tcpi_rtt = STEP / 1000}};
    if (!s)
        return fail_with(EBADF);
    if (s->kind == EPOLL || s->kind == TIMER)
        return fail_with(ENOTSOCK);
    if (level == IPPROTO_TCP && name == TCP_INFO) {
        whole.info.tcpi_state = (uint8_t)s->state;
        whole.info.tcpi_last_ack_recv = (uint32_t)((fake_net.now - s->heard) / 1000000);
        whole.acked = 1 + s->written;
        return copy_out(&whole, sizeof whole, value, len);
    }
    if (level == IPPROTO_TCP && s->kind != STREAM)
        return fail_with(EOPNOTSUPP);
    if (level == IPPROTO_IPV6)
        return copy_int_out(s->v6only, value, len);
    if (level != SOL_SOCKET)
        return copy_int_out(0, value, len);
    switch (name) {
    case SO_COOKIE:
        return copy_out(&s->cookie, sizeof s->cookie, value, len);
    case SO_PROTOCOL:
        return copy_int_out(s->kind == STREAM ? IPPROTO_TCP : s->kind == DGRAM ? IPPROTO_UDP : 0,
                            value, len);
    case SO_TYPE:
        return copy_int_out(s->kind == STREAM ? SOCK_STREAM : SOCK_DGRAM, value, len);
    case SO_DOMAIN:
        return copy_int_out(s->family, value, len);
    case SO_ACCEPTCONN:
        return copy_int_out(s->state == TCP_LISTEN, value, len);
    case SO_RCVLOWAT:
        return copy_int_out(s->rcvlowat ? s->rcvlowat : 1, value, len);
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
        return copy_out(&s->timeouts[name == SO_SNDTIMEO], sizeof s->timeouts[0], value, len);
    case SO_ERROR:
        copy_int_out(s->error, value, len);
        s->error = 0;
        return 0;
    default:
        return copy_int_out(0, value, len);
    }
}

static int fake_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
        cr_assert_eq(len, sizeof s->timeouts[0]);
        memcpy(&s->timeouts[name == SO_SNDTIMEO], value, len);
    } else if (level == SOL_SOCKET && name == SO_RCVLOWAT)
        memcpy(&s->rcvlowat, value, sizeof s->rcvlowat);
    else if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY)
        memcpy(&s->v6only, value, 1);
    return 0;
}

/* --- addresses --- */

static struct sockaddr_in server_address(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(FAKE_PORT)};
    inet_pton(AF_INET, FAKE_SERVER4, &sa.sin_addr);
    return sa;
}

static bool is_server(const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in server = server_address();
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    if (addr->sa_family == AF_INET6)
        return len >= sizeof *v6 && v6->sin6_port == server.sin_port &&
               IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
               memcmp(v6->sin6_addr.s6_addr + 12, &server.sin_addr, 4) == 0;
    return len >= sizeof *v4 && v4->sin_port == server.sin_port &&
           v4->sin_addr.s_addr == server.sin_addr.s_addr;
}

static void assign_port(struct sock *s)
{
    s->local.sin6_family = (sa_family_t)s->family;
    if (!s->local.sin6_port) /* at the same offset in both families */
        s->local.sin6_port = htons((uint16_t)(40000 + ports++));
}

static int fake_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (s->local.sin6_family && s->kind != UNIX)
        return fail_with(EINVAL);
    if (s->kind == UNIX)
        s->local.sin6_family = AF_UNIX; /* the kernel chooses a name */
    else {
        memcpy(&s->local, addr, len < sizeof s->local ? len : sizeof s->local);
        assign_port(s);
    }
    return 0;
}

static socklen_t address_size(const struct sock *s)
{
    return s->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int fake_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = find_sock(fd);
    if (!s || s->kind == EPOLL || s->kind == TIMER)
        return fail_with(s ? ENOTSOCK : EBADF);
    struct sockaddr_in6 own = s->local;
    own.sin6_family = (sa_family_t)s->family;
    return copy_out(&own, address_size(s), addr, len);
}

static int fake_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (!s->peer_len || (s->kind == STREAM && s->state != TCP_ESTABLISHED))
        return fail_with(ENOTCONN);
    return copy_out(&s->peer, s->peer_len, addr, len);
}

/* --- connecting --- */

/* As tcp_disconnect(): resets the socket. A connection, established or attempted, leaves an error. */
static int disconnect_sock(struct sock *s)
{
    if (s->state == TCP_ESTABLISHED || s->state == TCP_SYN_SENT)
        s->error = ECONNRESET;
    end_at_server(s);
    s->state = TCP_CLOSE;
    s->peer_len = 0;
    s->shut_in = s->shut_out = s->fin = s->end_shown = s->full = false;
    s->end = NO_END;
    s->n_in = s->shown = s->taken = s->written = 0;
    mark_ready(s);
    return 0;
}

static int dial_server(struct sock *s, const struct sockaddr *addr, socklen_t len)
{
    if (s->state == TCP_ESTABLISHED || s->state == TCP_LISTEN)
        return fail_with(EISCONN);
    if (s->state == TCP_SYN_SENT)
        return fail_with(EALREADY);
    if (!is_server(addr, len)) {
        fake_net.strays++;
        return fail_with(EHOSTUNREACH);
    }
    fake_net.dialled++;
    if (fake_net.dial == FAKE_NO_ROUTE)
        return fail_with(ENETUNREACH);
    disconnect_sock(s);
    s->error = 0;
    memcpy(&s->peer, addr, len);
    s->peer_len = len;
    s->state = TCP_SYN_SENT;
    assign_port(s);
    if (fake_net.manner.eager && answer_dial(s))
        mark_ready(s);
    if (s->nonblock)
        return fail_with(EINPROGRESS);
    uint64_t until = after_timeval(&s->timeouts[1]);
    while (s->state == TCP_SYN_SENT && advance_time(until))
        ;
    if (s->state == TCP_SYN_SENT)
        return fail_with(EINPROGRESS);
    if (s->state == TCP_ESTABLISHED || !s->error)
        return 0;
    int error = s->error;
    s->error = 0;
    s->shut_in = s->shut_out = false;
    return fail_with(error);
}

static int fake_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (s->kind == STREAM)
        return addr->sa_family == AF_UNSPEC ? disconnect_sock(s) : dial_server(s, addr, len);
    if (addr->sa_family == AF_UNSPEC) {
        s->peer_len = 0;
        return 0;
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    if (addr->sa_family == AF_INET && v4->sin_addr.s_addr == INADDR_BROADCAST)
        return fail_with(EACCES);
    memcpy(&s->peer, addr, len < sizeof s->peer ? len : sizeof s->peer);
    s->peer_len = len;
    if (s->kind == DGRAM)
        assign_port(s);
    return 0;
}

static int fake_listen(int fd, int backlog)
{
    struct sock *s = find_sock(fd);
    (void)backlog;
    if (!s)
        return fail_with(EBADF);
    if (s->kind != STREAM || s->state == TCP_ESTABLISHED)
        return fail_with(EINVAL);
    assign_port(s);
    s->state = TCP_LISTEN;
    return 0;
}

static int fake_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct sock *s = find_sock(fd);
    (void)addr, (void)len, (void)flags;
    if (!s)
        return fail_with(EBADF);
    return fail_with(s->state == TCP_LISTEN ? EAGAIN : EINVAL);
}

static int fake_shutdown(int fd, int how)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (s->state == TCP_LISTEN) {
        s->state = TCP_CLOSE;
        return 0;
    }
    if (s->state == TCP_SYN_SENT)
        return disconnect_sock(s);
    if (s->state != TCP_ESTABLISHED)
        return fail_with(ENOTCONN);
    s->shut_in |= how != SHUT_WR;
    s->shut_out |= how != SHUT_RD;
    if (s->server && how != SHUT_RD) {
        s->server->ended = true;
        run_script(s->server);
    }
    mark_ready(s);
    return 0;
}

/* --- octets of a stream --- */

static ssize_t stream_send(struct sock *s, const void *buf, size_t n, int flags)
{
    const struct fake_manner *m = &fake_net.manner;
    bool waits = !s->nonblock && !(flags & MSG_DONTWAIT);
    uint64_t until = after_timeval(&s->timeouts[1]);
    while (s->state == TCP_SYN_SENT || (s->state == TCP_ESTABLISHED && s->full))
        if (!waits || !advance_time(until))
            return fail_with(EAGAIN);
    if (s->error) {
        int error = s->error;
        s->error = 0;
        return fail_with(error);
    }
    if (s->state != TCP_ESTABLISHED || s->shut_out)
        return fail_with(EPIPE);
    size_t most = m->each                                             ? 1
                  : s->written < m->cut_out && s->written + n > m->cut_out ? m->cut_out - s->written
                                                                      : n;
    s->full = most < n;
    s->written += most;
    struct fake_peer *p = s->server;
    if (p && p->stage < 0) /* closed: answered with a reset */
        fake_rst(p);
    else if (p) {
        cr_assert(p->n_heard + most <= sizeof p->heard);
        memcpy(p->heard + p->n_heard, buf, most);
        p->n_heard += most;
        run_script(p);
    }
    return (ssize_t)most;
}

static ssize_t stream_recv(struct sock *s, void *buf, size_t n, int flags)
{
    bool waits = !s->nonblock && !(flags & MSG_DONTWAIT);
    uint64_t until = after_timeval(&s->timeouts[0]);
    for (;;) {
        size_t there = s->shown - s->taken;
        if (there) {
            n = n < there ? n : there;
            memcpy(buf, s->in + s->taken, n);
            s->taken += flags & MSG_PEEK ? 0 : n;
            return (ssize_t)n;
        }
        if (s->fin)
            return 0;
        if (s->error) {
            int error = s->error;
            s->error = 0;
            return fail_with(error);
        }
        if (s->shut_in)
            return 0;
        if (s->state == TCP_CLOSE || s->state == TCP_LISTEN)
            return fail_with(ENOTCONN);
        if (!waits || !advance_time(until))
            return fail_with(EAGAIN);
    }
}

/* --- datagrams, and the UNIX socket that carries descriptors --- */

static ssize_t datagram_send(struct sock *s, const struct msghdr *msg)
{
    struct fake_datagram *d = &fake_net.datagram;
    const void *to = msg->msg_name ? msg->msg_name : s->peer_len ? &s->peer : NULL;
    if (!to)
        return fail_with(EDESTADDRREQ);
    *d = (struct fake_datagram){.n = 0};
    memcpy(&d->to, to, sizeof d->to);
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        cr_assert(d->n + msg->msg_iov[i].iov_len <= sizeof d->octets);
        memcpy(d->octets + d->n, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
        d->n += msg->msg_iov[i].iov_len;
    }
    fake_net.n_datagrams++;
    assign_port(s);
    if (memcmp(&d->to, &fake_net.relay, sizeof d->to) == 0 && s->queued < QUEUE) {
        s->queue[s->queued++] = *d;
        mark_ready(s);
    }
    return (ssize_t)d->n;
}

static ssize_t rights_send(struct sock *s, const struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int numbers[2];
    if (s->queued)
        return fail_with(EAGAIN);
    size_t n = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    cr_assert(n <= 2);
    memcpy(numbers, c ? (void *)CMSG_DATA(c) : (void *)numbers, n * sizeof(int));
    for (size_t i = 0; i < n; i++)
        if (!find_sock(numbers[i]))
            return fail_with(EBADF);
    for (size_t i = 0; i < n; i++) {
        s->rights[i] = get_index(find_sock(numbers[i]));
        find_sock(numbers[i])->refs++;
    }
    s->n_rights = (unsigned)n;
    s->queued = 1;
    s->queue[0].n = msg->msg_iov[0].iov_len;
    memcpy(s->queue[0].octets, msg->msg_iov[0].iov_base, s->queue[0].n);
    return (ssize_t)s->queue[0].n;
}

static ssize_t rights_receive(struct sock *s, struct msghdr *msg, int flags)
{
    struct cmsghdr *c = msg->msg_control ? CMSG_FIRSTHDR(msg) : NULL;
    if (!s->queued)
        return fail_with(EAGAIN);
    if (c) {
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(s->n_rights * sizeof(int));
        for (unsigned i = 0; i < s->n_rights; i++) {
            int fd = add_fd(&socks[s->rights[i]], 0, flags & MSG_CMSG_CLOEXEC);
            memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
        }
    }
    size_t n = s->queue[0].n;
    memcpy(msg->msg_iov[0].iov_base, s->queue[0].octets,
           n < msg->msg_iov[0].iov_len ? n : msg->msg_iov[0].iov_len);
    if (!(flags & MSG_PEEK)) {
        s->queued = 0;
        for (unsigned i = 0; i < s->n_rights; i++)
            release_sock(&socks[s->rights[i]]);
        s->n_rights = 0;
    }
    return (ssize_t)n;
}

static ssize_t datagram_receive(struct sock *s, struct msghdr *msg, int flags)
{
    uint64_t until = after_timeval(&s->timeouts[0]);
    while (!s->queued)
        if (s->nonblock || flags & MSG_DONTWAIT || !advance_time(until))
            return fail_with(EAGAIN);
    size_t at = 0;
    struct fake_datagram *d = &s->queue[0];
    for (size_t i = 0; i < msg->msg_iovlen && at < d->n; i++) {
        size_t n = d->n - at < msg->msg_iov[i].iov_len ? d->n - at : msg->msg_iov[i].iov_len;
        memcpy(msg->msg_iov[i].iov_base, d->octets + at, n);
        at += n;
    }
    if (msg->msg_name) {
        size_t n = msg->msg_namelen < sizeof d->to ? msg->msg_namelen : sizeof d->to;
        memcpy(msg->msg_name, &d->to, n);
        msg->msg_namelen = sizeof d->to;
    }
    msg->msg_flags = at < d->n ? MSG_TRUNC : 0;
    size_t n = flags & MSG_TRUNC ? d->n : at;
    if (!(flags & MSG_PEEK))
        memmove(&s->queue[0], &s->queue[1], --s->queued * sizeof s->queue[0]);
    return (ssize_t)n;
}

/* --- the calls for octets --- */

static ssize_t fake_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (s->kind == UNIX)
        return rights_send(s, msg);
    if (s->kind == DGRAM)
        return datagram_send(s, msg);
    cr_assert_eq(msg->msg_iovlen, 1);
    return stream_send(s, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
}

static ssize_t fake_recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct sock *s = find_sock(fd);
    if (!s)
        return fail_with(EBADF);
    if (s->kind == UNIX)
        return rights_receive(s, msg, flags);
    if (s->kind == DGRAM)
        return datagram_receive(s, msg, flags);
    return stream_recv(s, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
}

static ssize_t fake_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                           socklen_t len)
{
    struct iovec iov = {(void *)(uintptr_t)buf, n};
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)addr,
                         .msg_namelen = len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1};
    return fake_sendmsg(fd, &msg, flags);
}

static ssize_t fake_send(int fd, const void *buf, size_t n, int flags)
{
    return fake_sendto(fd, buf, n, flags, NULL, 0);
}

static ssize_t fake_write(int fd, const void *buf, size_t n)
{
    return fake_sendto(fd, buf, n, 0, NULL, 0);
}

static ssize_t fake_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                             socklen_t *len)
{
    struct iovec iov = {buf, n};
    struct msghdr msg = {
        .msg_name = addr, .msg_namelen = addr ? *len : 0, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t r = fake_recvmsg(fd, &msg, flags);
    if (r >= 0 && addr)
        *len = msg.msg_namelen;
    return r;
}

static ssize_t fake_recv(int fd, void *buf, size_t n, int flags)
{
    return fake_recvfrom(fd, buf, n, flags, NULL, NULL);
}

static ssize_t fake_read(int fd, void *buf, size_t n)
{
    return fake_recv(fd, buf, n, 0);
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
    struct sock *s = find_sock(fd);
    int none = 0;
    if (!s || request != SIOCOUTQ)
        return fail_with(s ? ENOTTY : EBADF);
    memcpy(arg, &none, sizeof none); /* the server acknowledges at once */
    return 0;
}

/* --- timers --- */

static int fake_timerfd_create(int clock, int flags)
{
    (void)clock;
    return add_fd(make_sock(TIMER), 0, flags & TFD_CLOEXEC);
}

static int fake_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                                struct itimerspec *old)
{
    struct sock *s = find_sock(fd);
    (void)flags, (void)old;
    if (!s || s->kind != TIMER)
        return fail_with(s ? EINVAL : EBADF);
    s->expires = time_after(&value->it_value);
    return 0;
}

const struct s5_calls fake_calls = {
    .connect = fake_connect,
    .keyed_connect = fake_connect,
    .keyed_listen = fake_listen,
    .keyed_sendmsg = fake_sendmsg,
    .bind = fake_bind,
    .listen = fake_listen,
    .accept4 = fake_accept4,
    .shutdown = fake_shutdown,
    .getpeername = fake_getpeername,
    .getsockname = fake_getsockname,
    .getsockopt = fake_getsockopt,
    .setsockopt = fake_setsockopt,
    .read = fake_read,
    .recv = fake_recv,
    .recvfrom = fake_recvfrom,
    .recvmsg = fake_recvmsg,
    .write = fake_write,
    .send = fake_send,
    .sendto = fake_sendto,
    .sendmsg = fake_sendmsg,
    .poll = fake_poll,
    .ppoll = fake_ppoll,
    .pselect = fake_pselect,
    .epoll_ctl = fake_epoll_ctl,
    .epoll_wait = fake_epoll_wait,
    .epoll_pwait = fake_epoll_pwait,
    .epoll_pwait2 = fake_epoll_pwait2,
    .ioctl = fake_ioctl,
    .close = table_close,
    .fcntl = table_fcntl,
    .socket = table_socket,
    .timerfd_create = fake_timerfd_create,
    .timerfd_settime = fake_timerfd_settime,
};
