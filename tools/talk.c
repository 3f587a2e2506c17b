/* Theory of operation: non-blocking sockets, poll and one deadline a step. What the server says is
 * kept beside being fed to the session, since what is no SOCKS5 is worth looking at, too. */
#include "talk.h"

#include "wire.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

double talk_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int talk_await(int fd, short events, double until)
{
    for (;;) {
        double left = until - talk_now();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > 0 ? (int)left + 1 : 0);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && talk_now() >= until)
            return -ETIMEDOUT;
    }
}

/* ---- To the server ---- */

static int address_of(struct sockaddr_storage *ret, socklen_t *ret_len,
                      const struct s5_policy *policy, const struct s5_server *server,
                      unsigned index)
{
    if (server->is_path) {
        struct sockaddr_un *un = (struct sockaddr_un *)ret;
        const char *path = s5_policy_text(policy, server->host);
        if (strlen(path) >= sizeof(un->sun_path))
            return -ENAMETOOLONG;
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, path);
        *ret_len = sizeof(*un);
        return 0;
    }
    const struct s5_ip *ip = &server->addrs[index];
    struct s5_addr addr = {.kind = ip->kind, .port = server->port};
    memcpy(addr.octets, ip->octets, sizeof(ip->octets));
    return s5_addr_to_sockaddr(&addr, ip->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6, ret, ret_len);
}

static int dial(struct talk *t, socklen_t len, int timeout_ms)
{
    int error = 0;
    socklen_t size = sizeof(error);
    t->fd = socket(t->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return -errno;
    double begun = talk_now();
    if (connect(t->fd, (const struct sockaddr *)&t->server, len) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        int result = talk_await(t->fd, POLLOUT, begun + timeout_ms);
        if (result < 0)
            return result;
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
            return -errno;
    }
    t->reach_ms = talk_now() - begun;
    socklen_t own = sizeof(t->own);
    if (error == 0 && getsockname(t->fd, (struct sockaddr *)&t->own, &own) < 0)
        return -errno;
    return -error;
}

int talk_reach(struct talk *ret, const struct s5_policy *policy, const struct s5_server *server,
               unsigned index, int timeout_ms)
{
    memset(ret, 0, sizeof(*ret));
    ret->fd = -1;
    socklen_t len;
    int result = address_of(&ret->server, &len, policy, server, index);
    if (result == 0)
        result = dial(ret, len, timeout_ms);
    if (result < 0)
        talk_end(ret);
    return result;
}

void talk_end(struct talk *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    s5_gss_free(t->gss);
    t->gss = NULL;
    s5_session_wipe(&t->link.session);
}

/* ---- Octets ---- */

/* All of DATA; a server that hung up is found out by reading. */
static int put(struct talk *t, const void *data, size_t len, double until)
{
    for (const uint8_t *at = data; len > 0;) {
        ssize_t n = send(t->fd, at, len, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            int result = talk_await(t->fd, POLLOUT, until);
            if (result < 0)
                return result;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return 0;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Some octets, at most LEN: their number, 0 at the end (or a reset), -errno. */
static int get(struct talk *t, void *data, size_t len, double until)
{
    for (;;) {
        int result = talk_await(t->fd, POLLIN, until);
        if (result < 0)
            return result;
        ssize_t n = recv(t->fd, data, len, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return 0;
        size_t keep = sizeof(t->head) - t->n_head;
        keep = (size_t)n < keep ? (size_t)n : keep;
        memcpy(t->head + t->n_head, data, keep);
        t->n_head += keep;
        return (int)n;
    }
}

void talk_listen(struct talk *t, const char *data, size_t len, int timeout_ms)
{
    uint8_t in[TALK_HEAD];
    double until = talk_now() + timeout_ms;
    if (put(t, data, len, until) < 0)
        return;
    while (t->n_head < 8 && get(t, in, sizeof(in), until) > 0)
        continue;
}

/* ---- The protocol ---- */

static int step(struct talk *t, double until)
{
    struct s5_gss_link *l = &t->link;
    size_t len;
    const uint8_t *out = s5_gss_link_out(l, &len);
    if (len > 0) {
        int result = put(t, out, len, until);
        if (result < 0)
            return result;
        s5_gss_link_sent(l, len);
        t->asked = talk_now();
    }
    uint8_t in[S5_SESSION_IN_MAX];
    size_t need = s5_gss_link_need(l);
    int n = get(t, in, need < sizeof(in) ? need : sizeof(in), until);
    if (n > 0)
        t->reply_ms = talk_now() - t->asked;
    if (n < 0)
        return n;
    return n > 0 ? s5_gss_link_feed(l, in, (size_t)n) : s5_gss_link_eof(l);
}

int talk_negotiate(struct talk *t, const struct s5_session_setup *setup,
                   const struct s5_gss_setup *gss, int timeout_ms)
{
    const struct s5_session *s = &t->link.session;
    int result = s5_gss_link_start(&t->link, setup, gss);
    double begun = talk_now();
    while (result == 0 && s5_session_state(s) != S5_SESSION_DONE &&
           s5_session_state(s) != S5_SESSION_BOUND) {
        bool greeting = s5_session_state(s) == S5_SESSION_METHOD && !setup->pipeline;
        result =
            step(t, begun + (greeting && timeout_ms > TALK_GREET_MS ? TALK_GREET_MS : timeout_ms));
    }
    if (result < 0)
        s5_session_abort(&t->link.session, result);
    return result;
}

int talk_offer(struct talk *t, uint8_t method, int timeout_ms)
{
    uint8_t out[8], in[S5_WIRE_SELECTION_LEN], chosen;
    struct s5_writer w = s5_writer_init(out, sizeof(out));
    s5_wire_write_greeting(&w, &method, 1);
    double until = talk_now() + timeout_ms;
    int result = put(t, out, w.used, until);
    for (size_t have = 0; result == 0 && have < sizeof(in);) {
        int n = get(t, in + have, sizeof(in) - have, until);
        if (n <= 0)
            return n < 0 ? n : -ECONNRESET;
        have += (size_t)n;
    }
    struct s5_reader r = s5_reader_init(in, sizeof(in));
    if (result == 0)
        result = s5_wire_read_selection(&r, &chosen);
    if (result < 0)
        return result;
    return chosen == method ? 0 : -EACCES;
}
