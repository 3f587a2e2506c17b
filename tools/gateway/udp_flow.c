/* Theory of operation: each UDP socket of the namespace has one socket outside, a flow, on which the engine makes the
 * association. Answers go back by a raw socket, under the peer's address.
 *
 * The engine waits for the SOCKS5 server when the first datagram is sent. A thread does that for each flow, so that the
 * others go on. The datagrams of the flow wait meanwhile, a few of them at most, and later ones are dropped, as by any
 * network.
 *
 * A server ends an association with its connection, and may not read the datagrams that have just arrived at its
 * relay. A flow whose program closes the socket right after a datagram is therefore kept for a moment. */
#define SOCKS5CLIENT_NO_MACROS
#include "udp_flow.h"
#include "inject.h"
#include "loop.h"
#include "outside.h"
#include "owner.h"
#include "room.h"
#include "rules.h"
#include "socks5client/socks.h"
#include "worker.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE     1024   /* a power of two */
#define WAITS     64     /* datagrams of a flow that wait */
#define CHECK_MS  100    /* from one look at the association to the next */
#define IDLE_MS   300000 /* a flow without datagrams ends, as in other gateways */
#define DNS_PORT  53
#define LINGER_MS 250 /* from the end of a flow that has just sent to the end of its association */
#define ROUNDS    64  /* datagrams taken before other descriptors are served */
#define LONGEST   65535

struct waiting {
    struct s5_endpoint to;
    size_t n;
    struct waiting *next;
    uint8_t octets[];
};

struct flow {
    struct watch outer;
    struct s5_endpoint from; /* the socket in the namespace */
    struct owner owner;
    struct s5_endpoint dns;  /* that RULES_DNS4 stands for; len 0: it was not used */
    struct s5_endpoint last; /* where the last datagram went */
    size_t last_size;
    int64_t used;    /* ms */
    int64_t sent;    /* ms; the last datagram */
    int64_t until;   /* ms; it lingers */
    int64_t checked; /* ms; the association was alive */
    struct worker_job job;
    struct waiting *sending;       /* the job's datagram; NULL: there is no job */
    struct waiting *waiting, **at; /* after it */
    unsigned n_waiting;
    bool missed; /* see ports_miss() */
    bool ended;  /* its socket is closed: it ends when the job has, or when it has lingered */
    struct flow *next;
};

static struct flow *flows[TABLE];
static unsigned n_flows, n_sending;
static int64_t last_sent;                                   /* ms; by any flow */
static struct flow *lingering, **lingering_at = &lingering; /* the first to end is the first */
static struct watch inner[2] = {{.fd = -1, .lasting = true}, {.fd = -1, .lasting = true}};
static uint8_t buffer[INJECT_HEAD + LONGEST];

/* ---- The table ---- */

static struct flow **find_place(const struct s5_endpoint *from)
{
    return &flows[s5_endpoint_port(&from->any) % TABLE];
}

static struct flow *find_flow(const struct s5_endpoint *from)
{
    struct flow *f = *find_place(from);
    while (f && !s5_endpoint_is_same(&f->from, from))
        f = f->next;
    return f;
}

static void free_flow(struct flow *f)
{
    loop_close(&f->outer);
    for (struct waiting *w; (w = f->waiting); free(w))
        f->waiting = w->next;
    free(f->sending);
    room_give();
    n_flows--;
    loop_dispose(f);
}

/* Frees the flow F, which is in no list, now or later. */
static void leave_flow(struct flow *f)
{
    if (f->sent + LINGER_MS <= loop_now()) {
        free_flow(f);
        return;
    }
    f->until = loop_now() + LINGER_MS;
    f->next = NULL;
    *lingering_at = f;
    lingering_at = &f->next;
}

int udp_flow_linger(void)
{
    for (struct flow *f; (f = lingering) && f->until <= loop_now();) {
        lingering = f->next;
        free_flow(f);
    }
    if (!lingering)
        lingering_at = &lingering;
    int64_t until = lingering ? lingering->until : last_sent + LINGER_MS;
    return until > loop_now() ? (int)(until - loop_now()) : -1;
}

static void end_flow(struct flow *f)
{
    for (struct flow **at = find_place(&f->from); *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    f->ended = true;
    if (!f->sending)
        leave_flow(f);
}

unsigned udp_flow_count(void)
{
    return n_flows;
}

bool udp_flow_sends(void)
{
    return n_sending > 0 || lingering || last_sent + LINGER_MS > loop_now();
}

void udp_flow_keep(const struct ports *ports)
{
    for (int i = 0; i < TABLE; i++)
        for (struct flow *f = flows[i], *next; f; f = next) {
            next = f->next;
            if (ports_miss(ports, s5_endpoint_port(&f->from.any), &f->missed))
                end_flow(f);
        }
}

void udp_flow_tick(void)
{
    for (int i = 0; i < TABLE; i++)
        for (struct flow *f = flows[i], *next; f; f = next) {
            next = f->next;
            if (loop_now() > f->used + IDLE_MS)
                end_flow(f);
        }
}

/* ---- From outside ---- */

static void report_error(const struct s5_endpoint *from, const struct s5_endpoint *to, size_t size, int error)
{
    struct packet p;
    packet_make_udp(&p, from, to, size);
    inject_error(&p, error);
}

static void take_answers(struct watch *w, uint32_t ready)
{
    struct flow *f = (struct flow *)((char *)w - offsetof(struct flow, outer));
    (void)ready;
    for (int i = 0; i < ROUNDS; i++) {
        struct s5_endpoint from = {.len = sizeof(from.v6)};
        ssize_t n = Rrecvfrom(w->fd, buffer + INJECT_HEAD, LONGEST, MSG_DONTWAIT, &from.any, &from.len);
        if (n >= 0 && f->ended) /* the port may be another socket's */
            continue;
        if (n < 0 && !f->ended && errno != EAGAIN && errno != EINTR && f->last.len)
            report_error(&f->from, &f->last, f->last_size, errno);
        if (n < 0)
            return;
        f->used = loop_now();
        if (f->dns.len && s5_endpoint_is_same(&from, &f->dns))
            from.v4.sin_addr.s_addr = inet_addr(RULES_DNS4);
        if (from.any.sa_family == f->from.any.sa_family)
            inject_datagram(&from, &f->from, buffer, (size_t)n);
    }
}

/* ---- From inside ---- */

static bool is_lasting_error(int error)
{
    return error != EAGAIN && error != EINTR && error != ENOBUFS && error != ENOMEM;
}

/* A query of DNS is answered here, or its sender waits for the answer: nothing is on its way when the socket ends. */
static void note_sent(struct flow *f, const struct s5_endpoint *to, size_t n)
{
    f->last = *to;
    f->last_size = n;
    if (s5_endpoint_port(&to->any) != DNS_PORT)
        f->sent = last_sent = loop_now();
}

static void send_datagram(struct flow *f, const struct s5_endpoint *to, const void *octets, size_t n)
{
    note_sent(f, to, n);
    owner_act_for(&f->owner);
    if (Rsendto(f->outer.fd, octets, n, MSG_DONTWAIT | MSG_NOSIGNAL, &to->any, to->len) < 0 && is_lasting_error(errno))
        report_error(&f->from, to, n, errno);
    owner_act_for(NULL);
    if (!f->ended)
        loop_set_events(&f->outer, EPOLLIN);
}

static bool sends_at_once(struct flow *f, const struct s5_endpoint *to)
{
    bool check = loop_now() >= f->checked + CHECK_MS;
    if (check)
        f->checked = loop_now();
    return outside_sends_at_once(f->outer.fd, to, check);
}

static void send_in_thread(struct worker_job *job)
{
    const struct flow *f = (struct flow *)((char *)job - offsetof(struct flow, job));
    const struct waiting *w = f->sending;
    owner_act_for(&f->owner);
    job->result = Rsendto(f->outer.fd, w->octets, w->n, MSG_NOSIGNAL, &w->to.any, w->to.len) < 0 ? -errno : 0;
    owner_act_for(NULL);
}

static void start_job(struct flow *f);

static void job_done(struct worker_job *job)
{
    struct flow *f = (struct flow *)((char *)job - offsetof(struct flow, job));
    struct waiting *sent = f->sending;
    f->sending = NULL;
    n_sending--;
    note_sent(f, &sent->to, sent->n);
    if (job->result < 0 && is_lasting_error((int)-job->result))
        report_error(&f->from, &sent->to, sent->n, (int)-job->result);
    free(sent);
    if (!f->ended)
        loop_set_events(&f->outer, EPOLLIN);
    start_job(f);
    if (f->ended && !f->sending) /* what the program sent before it closed the socket has been sent */
        leave_flow(f);
}

/* Sends what waits, up to the first datagram that needs a thread again. */
static void start_job(struct flow *f)
{
    for (struct waiting *w; (w = f->waiting);) {
        f->waiting = w->next;
        f->n_waiting--;
        if (!f->waiting)
            f->at = &f->waiting;
        if (!sends_at_once(f, &w->to)) {
            f->sending = w;
            n_sending++;
            f->job.run = send_in_thread;
            f->job.done = job_done;
            worker_start(&f->job);
            return;
        }
        send_datagram(f, &w->to, w->octets, w->n);
        free(w);
    }
}

static void add_waiting(struct flow *f, const struct s5_endpoint *to, const void *octets, size_t n)
{
    struct waiting *w = f->n_waiting < WAITS ? malloc(sizeof(*w) + n) : NULL;
    if (!w)
        return;
    w->to = *to;
    w->n = n;
    w->next = NULL;
    memcpy(w->octets, octets, n);
    *f->at = w;
    f->at = &w->next;
    f->n_waiting++;
}

static struct flow *new_flow(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    if (!room_take())
        return NULL;
    struct flow *f = calloc(1, sizeof(*f));
    if (f)
        f->outer.fd = socket(from->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!f || f->outer.fd < 0) {
        free(f);
        room_give();
        return NULL;
    }
    n_flows++;
    f->outer.lasting = true;
    f->outer.ready = take_answers;
    f->from = *from;
    owner_find(&f->owner, IPPROTO_UDP, from, to);
    f->at = &f->waiting;
    f->next = *find_place(from);
    *find_place(from) = f;
    return f;
}

static void take_datagram(const struct s5_endpoint *from, const struct s5_endpoint *to, const void *octets, size_t n)
{
    struct flow *f = find_flow(from);
    if (!f && !(f = new_flow(from, to))) {
        report_error(from, to, n, ECONNREFUSED); /* the kernel keeps other errors from the program */
        return;
    }
    f->used = loop_now();
    struct s5_endpoint real = *to;
    bool dns = outside_find_dns(&real);
    if (dns) {
        f->dns = real;
        to = &real;
    }
    if (!dns && !outside_permits(to))
        report_error(&f->from, to, n, ECONNREFUSED);
    else if (!f->sending && sends_at_once(f, to))
        send_datagram(f, to, octets, n);
    else {
        add_waiting(f, to, octets, n);
        if (!f->sending)
            start_job(f);
    }
}

/* Stores in RET the destination that the kernel reports for the datagram in M. */
static bool get_destination(struct msghdr *m, struct s5_endpoint *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        bool four = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR;
        if (!four && (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_ORIGDSTADDR))
            continue;
        ret->len = four ? sizeof(ret->v4) : sizeof(ret->v6);
        memcpy(&ret->any, CMSG_DATA(c), ret->len);
        return true;
    }
    return false;
}

static void take_datagrams(struct watch *w, uint32_t ready)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct sockaddr_in6)) + 64];
    } control;
    (void)ready;
    for (int i = 0; i < ROUNDS; i++) {
        struct s5_endpoint from, to;
        struct iovec iov = {buffer, LONGEST};
        struct msghdr m = {.msg_name = &from.any,
                           .msg_namelen = sizeof(from.v6),
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(w->fd, &m, MSG_DONTWAIT);
        if (n < 0)
            return;
        from.len = m.msg_namelen;
        if (get_destination(&m, &to))
            take_datagram(&from, &to, buffer, (size_t)n);
    }
}

/* A socket that was not connected has no address of its own, and one of IPv6 may have sent from an address of IPv4. */
void udp_flow_closed(const struct s5_endpoint *addr)
{
    for (int i = 0; i < 2; i++)
        take_datagrams(&inner[i], EPOLLIN); /* what it has sent before */
    for (struct flow *f = *find_place(addr), *next; f; f = next) {
        next = f->next;
        if (s5_endpoint_is_same(&f->from, addr) ||
            (s5_endpoint_is_unspecified(addr) && f->from.v4.sin_port == addr->v4.sin_port))
            end_flow(f);
    }
}

int udp_flow_begin(struct handover *h)
{
    for (int i = 0; i < 2; i++) {
        inner[i].fd = h->fds[HANDOVER_UDP4 + i];
        h->fds[HANDOVER_UDP4 + i] = -1;
        inner[i].ready = take_datagrams;
        int result = loop_set_events(&inner[i], EPOLLIN);
        if (result < 0)
            return result;
    }
    return 0;
}
