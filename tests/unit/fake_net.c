/* Descriptors name sockets, which live as long as a descriptor, or a message in the UNIX socket, names
 * them. The errnos and the readiness are those that tests/kernel and the kernel's own source show, in
 * the order of checks that tcp_sendmsg(), tcp_recvmsg() and tcp_poll() have. */
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
#define STEP  1000000ull /* ns: what a step of the network takes */
#define QUEUE 4

enum kind { FREE, STREAM, DGRAM, UNIX, EPOLL, TIMER };
enum end { NO_END, FIN, RST };

struct item {
    int fd, sock; /* fd -1: free */
    uint32_t events;
    uint64_t data;
    bool ready, disarmed;
};

struct sock {
    enum kind kind;
    int refs, family;
    bool nonblock, v6only, listening;
    int rcvlowat; /* 0: 1 */
    uint64_t cookie;
    struct timeval timeouts[2]; /* SO_RCVTIMEO, SO_SNDTIMEO */
    struct sockaddr_in6 local, peer;
    socklen_t peer_len; /* 0: none */
    /* STREAM */
    int state; /* TCP_CLOSE, TCP_SYN_SENT, TCP_ESTABLISHED, TCP_LISTEN */
    int error; /* SO_ERROR */
    bool shut_in, shut_out, fin; /* fin: the peer's end was seen */
    struct fake_peer *server;
    uint8_t in[1024];
    size_t n_in, shown, taken; /* said, there to be read, read */
    enum end end;
    bool end_shown;
    uint64_t heard; /* ns, when the server was heard last */
    size_t written;
    bool full; /* the step's room is used up */
    /* DGRAM and UNIX: what came */
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
    int sock; /* + 1 */
    bool cloexec;
} fds[FDS];
static uint64_t cookies;
static uint16_t ports;

static int fails(int error)
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

static struct sock *of(int fd)
{
    return fd >= 0 && fd < FDS && fds[fd].sock ? &socks[fds[fd].sock - 1] : NULL;
}

static int index_of(const struct sock *s)
{
    return (int)(s - socks);
}

static int place(struct sock *s, int from, bool cloexec)
{
    for (int fd = from < FAKE_FIRST ? FAKE_FIRST : from; fd < FDS; fd++)
        if (!fds[fd].sock && fcntl(fd, F_GETFD) < 0) { /* nor a real one: the tree's file */
            fds[fd].sock = index_of(s) + 1;
            fds[fd].cloexec = cloexec;
            s->refs++;
            return fd;
        }
    return fails(EMFILE);
}

static struct sock *make(enum kind kind)
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

/* Whoever waits for S with epoll looks again. */
static void wake(const struct sock *s)
{
    for (int i = 0; i < SOCKS; i++)
        for (int k = 0; socks[i].kind == EPOLL && k < ITEMS; k++)
            if (socks[i].items[k].fd >= 0 && socks[i].items[k].sock == index_of(s)) {
                socks[i].items[k].ready = true;
                wake(&socks[i]);
            }
}

static void run_script(struct fake_peer *p)
{
    if (fake_net.script)
        fake_net.script(p);
}

static void leave_server(struct sock *s)
{
    struct fake_peer *p = s->server;
    s->server = NULL;
    if (!p)
        return;
    p->sock = -1;
    p->ended = true;
    run_script(p);
}

static void let_go(struct sock *s)
{
    if (--s->refs)
        return;
    for (int i = 0; i < SOCKS; i++)
        for (int k = 0; socks[i].kind == EPOLL && k < ITEMS; k++)
            if (socks[i].items[k].sock == index_of(s))
                socks[i].items[k].fd = -1;
    s->kind = FREE;
    leave_server(s);
    for (unsigned i = 0; i < s->n_rights; i++)
        let_go(&socks[s->rights[i]]);
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

/* Everything from the server: octets first, then how it ends. */
static bool show(struct sock *s)
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
    *p = (struct fake_peer){.used = true, .sock = index_of(s), .user = fake_net.user};
    s->state = TCP_ESTABLISHED;
    s->heard = fake_net.now;
    s->server = p;
    run_script(p);
    return true;
}

/* Whether anything moved. Time goes on only then. */
static bool step(void)
{
    bool any = false;
    for (int i = 0; i < SOCKS; i++) {
        struct sock *s = &socks[i];
        if (s->kind != STREAM)
            continue;
        bool moved = s->state == TCP_SYN_SENT ? answer_dial(s) : show(s) || s->full;
        s->full = false;
        any |= moved;
        if (moved)
            wake(s);
    }
    if (any)
        fake_net.now += STEP;
    return any;
}

static void ends(struct fake_peer *p, enum end end)
{
    struct sock *s = p->sock < 0 ? NULL : &socks[p->sock];
    if (!s || s->end == RST)
        return;
    if (s->end == FIN) { /* more than an end that was told already */
        s->end_shown = false;
        s->end = end;
        return;
    }
    s->end = end;
    if (fake_net.manner.eager && show(s))
        wake(s);
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
    if (fake_net.manner.eager && show(s))
        wake(s);
}

void fake_half_close(struct fake_peer *p)
{
    ends(p, FIN);
}

void fake_rst(struct fake_peer *p)
{
    struct sock *s = p->sock < 0 ? NULL : &socks[p->sock];
    ends(p, RST);
    if (s)
        s->server = NULL;
    p->sock = -1;
}

void fake_close(struct fake_peer *p)
{
    if (p->n_taken < p->n_heard)
        fake_rst(p);
    else
        ends(p, FIN);
    p->stage = -1; /* whatever the client writes now, a reset answers */
}

/* --- readiness --- */

static short readiness(const struct sock *s);

/* Whether an epoll instance has something to report. */
static bool has_events(const struct sock *e)
{
    for (int k = 0; k < ITEMS; k++)
        if (e->items[k].fd >= 0 && e->items[k].ready && !e->items[k].disarmed &&
            readiness(&socks[e->items[k].sock]) & (short)(e->items[k].events | EPOLLERR | EPOLLHUP))
            return true;
    return false;
}

static short readiness(const struct sock *s)
{
    size_t least = s->rcvlowat > 0 ? (size_t)s->rcvlowat : 1;
    bool in = s->shown - s->taken >= least || s->fin || s->shut_in;
    switch (s->kind) {
    case STREAM:
        if (s->state == TCP_SYN_SENT)
            return 0;
        if (s->state == TCP_LISTEN)
            return 0; /* nobody gets through */
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

/* When a timer that runs will be readable. */
static uint64_t next_timer(void)
{
    uint64_t next = S5_CLOCK_NEVER;
    for (int i = 0; i < SOCKS; i++)
        if (socks[i].kind == TIMER && socks[i].expires > fake_net.now && socks[i].expires < next)
            next = socks[i].expires;
    return next;
}

static void timers_ring(uint64_t before)
{
    for (int i = 0; i < SOCKS; i++)
        if (socks[i].kind == TIMER && socks[i].expires > before &&
            socks[i].expires <= fake_net.now)
            wake(&socks[i]);
}

/* Time, or the network, goes on by a step. False: UNTIL is over. */
static bool go_on(uint64_t until)
{
    uint64_t before = fake_net.now, next = next_timer();
    cr_assert(++fake_net.waits < 100000, "a loop that waits for nothing");
    if (before >= until)
        return false;
    if (!step()) {
        next = next < until ? next : until;
        cr_assert(next != S5_CLOCK_NEVER, "a wait that never ends");
        fake_net.now = next;
    }
    timers_ring(before);
    return true;
}

static uint64_t after(const struct timespec *timeout)
{
    return s5_clock_later(fake_net.now, timeout);
}

static uint64_t after_timeval(const struct timeval *limit)
{
    struct timespec ts = {limit->tv_sec, limit->tv_usec * 1000};
    return timerisset(limit) ? after(&ts) : S5_CLOCK_NEVER;
}

static int look(struct pollfd *p, nfds_t n)
{
    int ready = 0;
    for (nfds_t i = 0; i < n; i++) {
        const struct sock *s = of(p[i].fd);
        p[i].revents = 0;
        if (p[i].fd >= 0)
            p[i].revents = s ? readiness(s) & (p[i].events | POLLERR | POLLHUP) : POLLNVAL;
        ready += p[i].revents != 0;
    }
    return ready;
}

static int wait_for(struct pollfd *p, nfds_t n, uint64_t until)
{
    int ready;
    while (!(ready = look(p, n)) && go_on(until))
        ;
    return ready;
}

static int fake_ppoll(struct pollfd *p, nfds_t n, const struct timespec *timeout,
                      const sigset_t *mask)
{
    (void)mask;
    return wait_for(p, n, after(timeout));
}

static int fake_poll(struct pollfd *p, nfds_t n, int timeout)
{
    struct timespec ts = {timeout / 1000, timeout % 1000 * 1000000l};
    return wait_for(p, n, after(timeout < 0 ? NULL : &ts));
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
        if (!of(p[i].fd))
            return fails(EBADF);
    /* A hang-up alone wakes nobody who writes: as select() has it. */
    uint64_t until = after(timeout);
    for (;;) {
        look(p, used);
        bits = 0;
        for (nfds_t i = 0; i < used; i++) {
            short r = p[i].revents, e = p[i].events;
            bits += (e & POLLIN && r & (POLLIN | POLLHUP | POLLERR)) +
                    (e & POLLOUT && r & (POLLOUT | POLLERR));
        }
        if (bits || !go_on(until))
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
    struct sock *e = of(ep), *s = of(fd);
    struct item *item = NULL, *unused = NULL;
    if (!e || !s)
        return fails(EBADF);
    if (e->kind != EPOLL || s == e)
        return fails(EINVAL);
    for (int k = 0; k < ITEMS; k++) {
        if (e->items[k].fd == fd && e->items[k].sock == index_of(s))
            item = &e->items[k];
        else if (e->items[k].fd < 0)
            unused = &e->items[k];
    }
    if (op == EPOLL_CTL_ADD ? item != NULL : item == NULL)
        return fails(op == EPOLL_CTL_ADD ? EEXIST : ENOENT);
    if (op == EPOLL_CTL_DEL) {
        item->fd = -1;
        return 0;
    }
    item = item ? item : unused;
    cr_assert(item, "more than %d registrations", ITEMS);
    *item = (struct item){fd, index_of(s), event->events, event->data.u64, false, false};
    item->ready = readiness(s) & (short)(event->events | EPOLLERR | EPOLLHUP);
    return 0;
}

static int report(struct sock *e, struct epoll_event *events, int max)
{
    int n = 0;
    for (int k = 0; k < ITEMS && n < max; k++) {
        struct item *item = &e->items[k];
        if (item->fd < 0 || !item->ready || item->disarmed)
            continue;
        uint32_t asked = item->events | EPOLLERR | EPOLLHUP;
        uint32_t now = (uint32_t)(uint16_t)readiness(&socks[item->sock]) & asked;
        item->ready = now && !(item->events & EPOLLET);
        item->disarmed = now && item->events & EPOLLONESHOT;
        if (now)
            events[n++] = (struct epoll_event){.events = now, .data.u64 = item->data};
    }
    return n;
}

static int epoll_until(int ep, struct epoll_event *events, int max, uint64_t until)
{
    struct sock *e = of(ep);
    int n;
    if (!e)
        return fails(EBADF);
    while (!(n = report(e, events, max)) && go_on(until))
        ;
    return n;
}

static int fake_epoll_pwait2(int ep, struct epoll_event *events, int max,
                             const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    return epoll_until(ep, events, max, after(timeout));
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
    return place(make(EPOLL), 0, true);
}

/* --- making, closing, options --- */

int fake_socket(int family, int type)
{
    struct sock *s = make(family == AF_UNIX            ? UNIX
                          : (type & 0xf) == SOCK_DGRAM ? DGRAM
                                                       : STREAM);
    s->family = family;
    s->nonblock = type & SOCK_NONBLOCK;
    return place(s, 0, type & SOCK_CLOEXEC);
}

static int table_socket(int family, int type, int protocol)
{
    (void)protocol;
    return fake_socket(family, type);
}

static int table_close(int fd)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    fds[fd].sock = 0;
    let_go(s);
    return 0;
}

static int table_fcntl(int fd, int command, long arg)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
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
        return place(s, (int)arg, command == F_DUPFD_CLOEXEC);
    default:
        return fails(EINVAL);
    }
}

static int tell(const void *from, size_t size, void *value, socklen_t *len)
{
    *len = *len < size ? *len : (socklen_t)size;
    memcpy(value, from, *len);
    return 0;
}

static int tell_int(int from, void *value, socklen_t *len)
{
    return tell(&from, sizeof from, value, len);
}

static int fake_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct sock *s = of(fd);
    struct {
        struct tcp_info info; /* as long as the kernel's, as far as it is looked at */
        uint64_t rates[2], acked;
    } whole = {.info = {.tcpi_rtt = STEP / 1000}};
    if (!s)
        return fails(EBADF);
    if (s->kind == EPOLL || s->kind == TIMER)
        return fails(ENOTSOCK);
    if (level == IPPROTO_TCP && name == TCP_INFO) {
        whole.info.tcpi_state = (uint8_t)s->state;
        whole.info.tcpi_last_ack_recv = (uint32_t)((fake_net.now - s->heard) / 1000000);
        whole.acked = 1 + s->written;
        return tell(&whole, sizeof whole, value, len);
    }
    if (level == IPPROTO_IPV6)
        return tell_int(s->v6only, value, len);
    if (level != SOL_SOCKET)
        return tell_int(0, value, len);
    switch (name) {
    case SO_COOKIE:
        return tell(&s->cookie, sizeof s->cookie, value, len);
    case SO_PROTOCOL:
        return tell_int(s->kind == STREAM ? IPPROTO_TCP : s->kind == DGRAM ? IPPROTO_UDP : 0,
                        value, len);
    case SO_TYPE:
        return tell_int(s->kind == STREAM ? SOCK_STREAM : SOCK_DGRAM, value, len);
    case SO_DOMAIN:
        return tell_int(s->family, value, len);
    case SO_ACCEPTCONN:
        return tell_int(s->state == TCP_LISTEN, value, len);
    case SO_RCVLOWAT:
        return tell_int(s->rcvlowat ? s->rcvlowat : 1, value, len);
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
        return tell(&s->timeouts[name == SO_SNDTIMEO], sizeof s->timeouts[0], value, len);
    case SO_ERROR:
        tell_int(s->error, value, len);
        s->error = 0;
        return 0;
    default:
        return tell_int(0, value, len);
    }
}

static int fake_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
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

static void have_port(struct sock *s)
{
    s->local.sin6_family = (sa_family_t)s->family;
    if (!s->local.sin6_port) /* at the same place in both families */
        s->local.sin6_port = htons((uint16_t)(40000 + ports++));
}

static int fake_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    if (s->local.sin6_family && s->kind != UNIX)
        return fails(EINVAL);
    if (s->kind == UNIX)
        s->local.sin6_family = AF_UNIX; /* a name that the kernel chooses */
    else {
        memcpy(&s->local, addr, len < sizeof s->local ? len : sizeof s->local);
        have_port(s);
    }
    return 0;
}

static socklen_t address_size(const struct sock *s)
{
    return s->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int fake_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = of(fd);
    if (!s || s->kind == EPOLL || s->kind == TIMER)
        return fails(s ? ENOTSOCK : EBADF);
    struct sockaddr_in6 own = s->local;
    own.sin6_family = (sa_family_t)s->family;
    return tell(&own, address_size(s), addr, len);
}

static int fake_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    if (!s->peer_len || (s->kind == STREAM && s->state != TCP_ESTABLISHED))
        return fails(ENOTCONN);
    return tell(&s->peer, s->peer_len, addr, len);
}

/* --- connecting --- */

/* As tcp_disconnect(): what there was is gone, a connection or an attempt leaves an error. */
static int disconnect(struct sock *s)
{
    if (s->state == TCP_ESTABLISHED || s->state == TCP_SYN_SENT)
        s->error = ECONNRESET;
    leave_server(s);
    s->state = TCP_CLOSE;
    s->peer_len = 0;
    s->shut_in = s->shut_out = s->fin = s->end_shown = s->full = false;
    s->end = NO_END;
    s->n_in = s->shown = s->taken = s->written = 0;
    wake(s);
    return 0;
}

static int dial(struct sock *s, const struct sockaddr *addr, socklen_t len)
{
    if (s->state == TCP_ESTABLISHED || s->state == TCP_LISTEN)
        return fails(EISCONN);
    if (s->state == TCP_SYN_SENT)
        return fails(EALREADY);
    if (!is_server(addr, len)) {
        fake_net.strays++;
        return fails(EHOSTUNREACH);
    }
    fake_net.dialled++;
    if (fake_net.dial == FAKE_NO_ROUTE)
        return fails(ENETUNREACH);
    disconnect(s);
    s->error = 0;
    memcpy(&s->peer, addr, len);
    s->peer_len = len;
    s->state = TCP_SYN_SENT;
    have_port(s);
    if (fake_net.manner.eager && answer_dial(s))
        wake(s);
    if (s->nonblock)
        return fails(EINPROGRESS);
    uint64_t until = after_timeval(&s->timeouts[1]);
    while (s->state == TCP_SYN_SENT && go_on(until))
        ;
    if (s->state == TCP_SYN_SENT)
        return fails(EINPROGRESS);
    if (s->state == TCP_ESTABLISHED || !s->error)
        return 0;
    int error = s->error;
    s->error = 0;
    s->shut_in = s->shut_out = false;
    return fails(error);
}

static int fake_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    if (s->kind == STREAM)
        return addr->sa_family == AF_UNSPEC ? disconnect(s) : dial(s, addr, len);
    if (addr->sa_family == AF_UNSPEC) {
        s->peer_len = 0;
        return 0;
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    if (addr->sa_family == AF_INET && v4->sin_addr.s_addr == INADDR_BROADCAST)
        return fails(EACCES);
    memcpy(&s->peer, addr, len < sizeof s->peer ? len : sizeof s->peer);
    s->peer_len = len;
    if (s->kind == DGRAM)
        have_port(s);
    return 0;
}

static int fake_listen(int fd, int backlog)
{
    struct sock *s = of(fd);
    (void)backlog;
    if (!s)
        return fails(EBADF);
    if (s->kind != STREAM || s->state == TCP_ESTABLISHED)
        return fails(EINVAL);
    have_port(s);
    s->state = TCP_LISTEN;
    return 0;
}

static int fake_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct sock *s = of(fd);
    (void)addr, (void)len, (void)flags;
    if (!s)
        return fails(EBADF);
    return fails(s->state == TCP_LISTEN ? EAGAIN : EINVAL);
}

static int fake_shutdown(int fd, int how)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    if (s->state == TCP_LISTEN) {
        s->state = TCP_CLOSE;
        return 0;
    }
    if (s->state == TCP_SYN_SENT)
        return disconnect(s);
    if (s->state != TCP_ESTABLISHED)
        return fails(ENOTCONN);
    s->shut_in |= how != SHUT_WR;
    s->shut_out |= how != SHUT_RD;
    if (s->server && how != SHUT_RD) {
        s->server->ended = true;
        run_script(s->server);
    }
    wake(s);
    return 0;
}

/* --- octets of a stream --- */

static ssize_t stream_send(struct sock *s, const void *buf, size_t n, int flags)
{
    const struct fake_manner *m = &fake_net.manner;
    bool waits = !s->nonblock && !(flags & MSG_DONTWAIT);
    uint64_t until = after_timeval(&s->timeouts[1]);
    while (s->state == TCP_SYN_SENT || (s->state == TCP_ESTABLISHED && s->full))
        if (!waits || !go_on(until))
            return fails(EAGAIN);
    if (s->error) {
        int error = s->error;
        s->error = 0;
        return fails(error);
    }
    if (s->state != TCP_ESTABLISHED || s->shut_out)
        return fails(EPIPE);
    size_t most = m->each                                             ? 1
                  : s->written < m->cut_out && s->written + n > m->cut_out ? m->cut_out - s->written
                                                                      : n;
    s->full = most < n;
    s->written += most;
    struct fake_peer *p = s->server;
    if (p && p->stage < 0) /* closed: a reset is the answer */
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
            return fails(error);
        }
        if (s->shut_in)
            return 0;
        if (s->state == TCP_CLOSE || s->state == TCP_LISTEN)
            return fails(ENOTCONN);
        if (!waits || !go_on(until))
            return fails(EAGAIN);
    }
}

/* --- datagrams, and the UNIX socket that descriptors travel in --- */

static ssize_t datagram_send(struct sock *s, const struct msghdr *msg)
{
    struct fake_datagram *d = &fake_net.datagram;
    const void *to = msg->msg_name ? msg->msg_name : s->peer_len ? &s->peer : NULL;
    if (!to)
        return fails(EDESTADDRREQ);
    *d = (struct fake_datagram){.n = 0};
    memcpy(&d->to, to, sizeof d->to);
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        cr_assert(d->n + msg->msg_iov[i].iov_len <= sizeof d->octets);
        memcpy(d->octets + d->n, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
        d->n += msg->msg_iov[i].iov_len;
    }
    fake_net.n_datagrams++;
    have_port(s);
    if (memcmp(&d->to, &fake_net.relay, sizeof d->to) == 0 && s->queued < QUEUE) {
        s->queue[s->queued++] = *d;
        wake(s);
    }
    return (ssize_t)d->n;
}

static ssize_t rights_send(struct sock *s, const struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int numbers[2];
    if (s->queued)
        return fails(EAGAIN);
    size_t n = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    cr_assert(n <= 2);
    memcpy(numbers, c ? (void *)CMSG_DATA(c) : (void *)numbers, n * sizeof(int));
    for (size_t i = 0; i < n; i++)
        if (!of(numbers[i]))
            return fails(EBADF);
    for (size_t i = 0; i < n; i++) {
        s->rights[i] = index_of(of(numbers[i]));
        of(numbers[i])->refs++;
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
        return fails(EAGAIN);
    if (c) {
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(s->n_rights * sizeof(int));
        for (unsigned i = 0; i < s->n_rights; i++) {
            int fd = place(&socks[s->rights[i]], 0, flags & MSG_CMSG_CLOEXEC);
            memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
        }
    }
    size_t n = s->queue[0].n;
    memcpy(msg->msg_iov[0].iov_base, s->queue[0].octets,
           n < msg->msg_iov[0].iov_len ? n : msg->msg_iov[0].iov_len);
    if (!(flags & MSG_PEEK)) {
        s->queued = 0;
        for (unsigned i = 0; i < s->n_rights; i++)
            let_go(&socks[s->rights[i]]);
        s->n_rights = 0;
    }
    return (ssize_t)n;
}

static ssize_t datagram_receive(struct sock *s, struct msghdr *msg, int flags)
{
    uint64_t until = after_timeval(&s->timeouts[0]);
    while (!s->queued)
        if (s->nonblock || flags & MSG_DONTWAIT || !go_on(until))
            return fails(EAGAIN);
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
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
    if (s->kind == UNIX)
        return rights_send(s, msg);
    if (s->kind == DGRAM)
        return datagram_send(s, msg);
    cr_assert_eq(msg->msg_iovlen, 1);
    return stream_send(s, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
}

static ssize_t fake_recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct sock *s = of(fd);
    if (!s)
        return fails(EBADF);
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
    struct sock *s = of(fd);
    int none = 0;
    if (!s || request != SIOCOUTQ)
        return fails(s ? ENOTTY : EBADF);
    memcpy(arg, &none, sizeof none); /* the server acknowledges at once */
    return 0;
}

/* --- timers --- */

static int fake_timerfd_create(int clock, int flags)
{
    (void)clock;
    return place(make(TIMER), 0, flags & TFD_CLOEXEC);
}

static int fake_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                                struct itimerspec *old)
{
    struct sock *s = of(fd);
    (void)flags, (void)old;
    if (!s || s->kind != TIMER)
        return fails(s ? EINVAL : EBADF);
    s->expires = after(&value->it_value);
    return 0;
}

const struct s5_calls fake_calls = {
    .connect = fake_connect,
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
