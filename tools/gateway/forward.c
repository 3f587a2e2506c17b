/* Theory of operation: no event tells that a program listens, so the kernel is asked: ten times a second for a while
 * after something has happened, and twice a second otherwise.
 *
 * A port of a listener on loopback, or on all addresses, is bound on the host's loopback, in each family that the
 * listener has, if it is free there. A connection to it is continued by the agent to the listener. */
#include "forward.h"
#include "agent.h"
#include "diag.h"
#include "loop.h"
#include "rules.h"
#include "tcp_flow.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOON_MS  100
#define LATER_MS 500
#define SOON_FOR 20000 /* ms */
#define MOST     256   /* forwarded listeners */
#define BACKLOG  128

struct forward {
    struct watch watch; /* fd -1: the port is not free on the host */
    uint16_t family, port;
    bool seen; /* in the current dump */
    struct forward *next;
};

static struct forward *forwards;
static unsigned n_forwards;
static int agent = -1;
static int64_t next_look, soon_until;

bool forward_has(uint16_t port)
{
    for (struct forward *m = forwards; m; m = m->next)
        if (m->port == port && m->watch.fd >= 0)
            return true;
    return false;
}

/* ---- Connections from the host ---- */

/* Asks the agent for a connection. Returns its socket, or -errno. The agent answers at once. */
static int ask_agent(const struct forward *to)
{
    struct agent_request q = {to->family, to->port};
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    int32_t result = -EIO;
    int fd = -1;
    struct iovec iov = {&result, sizeof(result)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (send(agent, &q, sizeof(q), MSG_NOSIGNAL) != (ssize_t)sizeof(q) ||
        recvmsg(agent, &m, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(result))
        return -EIO;
    if (result == 0 && m.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    return fd >= 0 ? fd : result < 0 ? result : -EIO;
}

static void accept_connection(struct watch *w, uint32_t ready)
{
    const struct forward *m = (struct forward *)((char *)w - offsetof(struct forward, watch));
    int outer = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    (void)ready;
    if (outer < 0)
        return;
    int inner = ask_agent(m);
    if (inner >= 0) {
        tcp_flow_join(inner, outer);
        return;
    }
    struct linger now = {1, 0};
    setsockopt(outer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(outer);
}

/* ---- Listeners ---- */

static int listen_outside(uint16_t family, uint16_t port)
{
    int on = 1;
    const struct s5_endpoint at = s5_endpoint_loopback(family, port);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, &at.any, at.len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static void add_forward(uint16_t family, uint16_t port)
{
    for (struct forward *m = forwards; m; m = m->next)
        if (m->family == family && m->port == port) {
            m->seen = true;
            return;
        }
    struct forward *m = n_forwards < MOST ? calloc(1, sizeof(*m)) : NULL;
    if (!m)
        return;
    m->family = family;
    m->port = port;
    m->seen = true;
    m->watch.ready = accept_connection;
    m->watch.fd = listen_outside(family, port);
    if (m->watch.fd >= 0)
        loop_set_events(&m->watch, EPOLLIN);
    else
        m->watch.fd = -1;
    m->next = forwards;
    forwards = m;
    n_forwards++;
}

/* Ends the forwards of listeners that a dump did not have. */
static void end_dump(void)
{
    for (struct forward **at = &forwards; *at;) {
        struct forward *m = *at;
        if (m->seen) {
            m->seen = false;
            at = &m->next;
            continue;
        }
        *at = m->next;
        loop_close(&m->watch);
        n_forwards--;
        loop_dispose(m);
    }
}

/* 127.0.0.1 and ::1: the agent connects to them. */
static bool is_loopback(const struct s5_endpoint *at)
{
    const struct s5_endpoint loopback = s5_endpoint_loopback(at->any.sa_family, s5_endpoint_port(&at->any));
    return s5_endpoint_is_same(at, &loopback);
}

void forward_listener(const struct s5_endpoint *at)
{
    if (!at) {
        end_dump();
        return;
    }
    uint16_t port = s5_endpoint_port(&at->any);
    if (port == RULES_PORT || (!s5_endpoint_is_unspecified(at) && !is_loopback(at)))
        return;
    add_forward(at->any.sa_family, port);
    if (at->any.sa_family == AF_INET6 && s5_endpoint_is_unspecified(at)) /* most such listeners accept IPv4, too */
        add_forward(AF_INET, port);
}

/* ---- Time ---- */

void forward_begin(int fd)
{
    agent = fd;
    next_look = loop_now();
    forward_hurry();
}

void forward_hurry(void)
{
    soon_until = loop_now() + SOON_FOR;
}

int forward_tick(void)
{
    if (agent < 0)
        return -1;
    if (loop_now() >= next_look) {
        next_look = loop_now() + (loop_now() < soon_until ? SOON_MS : LATER_MS);
        diag_request_listeners();
    }
    return (int)(next_look - loop_now());
}
