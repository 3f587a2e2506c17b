/* Theory of operation
 *
 * A SYN waits in the queue. The engine connects a socket outside to the destination, and the result becomes the
 * verdict: success lets the SYN go on to the transparent listener, so the kernel completes the handshake; ECONNREFUSED
 * becomes a reset; other errors become an ICMP error. So a connect() in the namespace is in SYN_SENT until the SOCKS5
 * server has replied, and readiness, SO_ERROR and getpeername() are the kernel's own.
 *
 *   WAITING    the engine connects; SYNs that are sent again are dropped
 *   ACCEPTED   the SYN went on; accept() has not returned the connection yet
 *   RELAYING   octets go both ways
 *
 * While this process lives its sockets are set to reset the connection when they are closed: its own end by an accident
 * must not look like an orderly end of the stream. */
#define SOCKS5CLIENT_NO_MACROS
#include "tcp_flow.h"
#include "inject.h"
#include "loop.h"
#include "outside.h"
#include "owner.h"
#include "queue.h"
#include "relay.h"
#include "room.h"
#include "rules.h"
#include "socks5client/socks.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE     4096  /* a power of two */
#define ACCEPT_MS 15000 /* from the verdict to accept(): the kernel retries a handshake for that long */
#define ACCEPTS   64    /* connections accepted before others are served */

enum state { WAITING, ACCEPTED, RELAYING };

struct tcp_flow {
    struct relay relay; /* its server is the socket outside */
    enum state state;
    bool missed; /* see ports_miss() */
    uint32_t id; /* of the SYN in the queue */
    struct packet syn;
    struct owner owner;
    uint64_t cookie;  /* of owner_remember(); 0: none */
    int64_t deadline; /* ms; of ACCEPTED */
    struct tcp_flow *next_by_port;
    struct tcp_flow *next, *prev; /* all streams */
};

static struct tcp_flow *by_port[TABLE], *first;
static unsigned count; /* of all streams */
static struct watch listeners[2] = {{.fd = -1}, {.fd = -1}};

/* ---- The table: streams that are not relayed yet ---- */

static struct tcp_flow **find_place(const struct s5_endpoint *from)
{
    return &by_port[s5_endpoint_port(&from->any) % TABLE];
}

static struct tcp_flow *find_flow(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    for (struct tcp_flow *s = *find_place(from); s; s = s->next_by_port)
        if (s5_endpoint_is_same(&s->syn.from, from) && s5_endpoint_is_same(&s->syn.to, to))
            return s;
    return NULL;
}

static void remove_from_table(struct tcp_flow *s)
{
    for (struct tcp_flow **at = find_place(&s->syn.from); *at; at = &(*at)->next_by_port)
        if (*at == s) {
            *at = s->next_by_port;
            return;
        }
}

/* ---- Beginning and end ---- */

static struct tcp_flow *new_flow(void)
{
    struct tcp_flow *s = calloc(1, sizeof(*s));
    if (!s || !room_take()) {
        free(s);
        return NULL;
    }
    s->relay.client.fd = s->relay.server.fd = -1;
    s->next = first;
    if (first)
        first->prev = s;
    first = s;
    count++;
    return s;
}

static void set_linger(int fd, bool resets)
{
    struct linger how = {resets, 0};
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof(how));
}

static void end_flow(struct tcp_flow *s, bool reset)
{
    if (s->state != RELAYING)
        remove_from_table(s);
    owner_forget(s->cookie);
    if (!reset) {
        set_linger(s->relay.client.fd, false);
        set_linger(s->relay.server.fd, false);
    }
    relay_close(&s->relay, reset);
    if (s->prev)
        s->prev->next = s->next;
    else
        first = s->next;
    if (s->next)
        s->next->prev = s->prev;
    count--;
    room_give();
    loop_dispose(s);
}

static void relay_ended(struct relay *r, bool reset)
{
    end_flow((struct tcp_flow *)((char *)r - offsetof(struct tcp_flow, relay)), reset);
}

static void begin_relay(struct tcp_flow *s)
{
    int on = 1;
    s->state = RELAYING;
    s->relay.ended = relay_ended;
    s->relay.most = S5_GSS_MESSAGE_MAX;
    set_linger(s->relay.client.fd, true);
    set_linger(s->relay.server.fd, true);
    setsockopt(s->relay.client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(s->relay.server.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    relay_begin(&s->relay, NULL, 0, NULL, 0);
}

/* ---- The verdict ---- */

static void give_verdict(struct tcp_flow *s, int error)
{
    owner_forget(s->cookie);
    s->cookie = 0;
    if (error == 0) {
        s->state = ACCEPTED;
        s->deadline = loop_now() + ACCEPT_MS;
        loop_set_events(&s->relay.server, 0);
        queue_accept(s->id, 0);
        return;
    }
    if (error == ECONNREFUSED)
        queue_accept(s->id, RULES_MARK_RESET);
    else {
        queue_drop(s->id);
        inject_error(&s->syn, error);
    }
    end_flow(s, true);
}

static void outer_ready(struct watch *w, uint32_t ready)
{
    struct tcp_flow *s = (struct tcp_flow *)((char *)RELAY_OF(w, server) - offsetof(struct tcp_flow, relay));
    int error = 0;
    socklen_t len = sizeof(error);
    (void)ready;
    if (s->state != WAITING)
        return;
    if (Rgetsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    give_verdict(s, error);
}

void tcp_flow_take_syn(uint32_t id, const struct packet *p)
{
    struct tcp_flow *s = find_flow(&p->from, &p->to);
    if (s && s->state == WAITING) { /* sent again */
        queue_drop(id);
        return;
    }
    if (s) { /* the listener was full, or the program began again */
        queue_accept(id, 0);
        return;
    }
    s = new_flow();
    if (!s) { /* an accept() that fails would be tried for ever */
        queue_drop(id);
        inject_error(p, ENETUNREACH);
        return;
    }
    s->id = id;
    s->syn = *p;
    s->next_by_port = *find_place(&p->from);
    *find_place(&p->from) = s;
    s->relay.server.ready = outer_ready;
    owner_find(&s->owner, IPPROTO_TCP, &p->from, &p->to);
    owner_act_for(&s->owner);
    int fd = 0, result = outside_connect(&p->to, &fd);
    owner_act_for(NULL);
    if (result < 0 && result != -EINPROGRESS) {
        give_verdict(s, -result);
        return;
    }
    s->relay.server.fd = fd;
    owner_remember(fd, &s->owner, &s->cookie);
    set_linger(fd, true);
    if (result == 0)
        give_verdict(s, 0);
    else if (loop_set_events(&s->relay.server, EPOLLOUT) < 0)
        give_verdict(s, ENETUNREACH);
}

static void abandon_flow(struct tcp_flow *s)
{
    if (s->state == WAITING)
        queue_drop(s->id);
    end_flow(s, true);
}

/* A connection that is relayed sees the end by itself. */
void tcp_flow_abandoned(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    struct tcp_flow *s = find_flow(from, to);
    if (s)
        abandon_flow(s);
}

void tcp_flow_keep(const struct ports *ports)
{
    for (struct tcp_flow *s = first, *next; s; s = next) {
        next = s->next;
        if (s->state != RELAYING && ports_miss(ports, s5_endpoint_port(&s->syn.from.any), &s->missed))
            abandon_flow(s);
    }
}

/* ---- Listeners ---- */

static void take_connection(int fd, const struct s5_endpoint *from)
{
    struct s5_endpoint to = {.len = sizeof(to.v6)};
    struct tcp_flow *s = NULL;
    if (getsockname(fd, &to.any, &to.len) == 0)
        s = find_flow(from, &to);
    if (!s || s->state != ACCEPTED) { /* a connection to the listener itself */
        set_linger(fd, true);
        close(fd);
        return;
    }
    remove_from_table(s);
    s->relay.client.fd = fd;
    begin_relay(s);
}

static void accept_connections(struct watch *w, uint32_t ready)
{
    (void)ready;
    for (int i = 0; i < ACCEPTS; i++) {
        struct s5_endpoint from = {.len = sizeof(from.v6)};
        int fd = accept4(w->fd, &from.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) /* tried again by tcp_flow_tick() */
            loop_set_events(w, 0);
        if (fd < 0)
            return;
        take_connection(fd, &from);
    }
}

int tcp_flow_begin(struct handover *h)
{
    for (int i = 0; i < 2; i++) {
        listeners[i].fd = h->fds[HANDOVER_TCP4 + i];
        h->fds[HANDOVER_TCP4 + i] = -1;
        listeners[i].ready = accept_connections;
        int result = loop_set_events(&listeners[i], EPOLLIN);
        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- Others ---- */

void tcp_flow_join(int inner, int outer)
{
    struct tcp_flow *s = new_flow();
    if (!s) {
        close(inner);
        close(outer);
        return;
    }
    s->relay.client.fd = inner;
    s->relay.server.fd = outer;
    begin_relay(s);
}

void tcp_flow_tick(void)
{
    for (int i = 0; i < 2; i++)
        loop_set_events(&listeners[i], EPOLLIN);
    for (struct tcp_flow *s = first, *next; s; s = next) {
        next = s->next;
        if (s->state == ACCEPTED && loop_now() > s->deadline)
            end_flow(s, true);
        else if (s->state == RELAYING && s->relay.closing)
            relay_check_closing(&s->relay);
    }
}

bool tcp_flow_waits(void)
{
    const struct tcp_flow *s = first;
    while (s && s->state == RELAYING)
        s = s->next;
    return s;
}

unsigned tcp_flow_count(void)
{
    return count;
}
