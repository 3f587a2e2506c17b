/* Theory of operation: the library's negotiation with its times and the first octets of the server. They are kept
 * because they show what a server is that does not speak SOCKS5. Some functions exchange octets without a negotiation,
 * for the same purpose. */
#include "socks_client.h"

#include "client.h"
#include "clock.h"
#include "gss.h"
#include "wire.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

double socks_client_now(void)
{
    return (double)s5_clock_now() / 1e6;
}

uint64_t socks_client_until(int timeout_ms)
{
    return s5_clock_now() + (uint64_t)timeout_ms * (S5_CLOCK_SECOND / 1000);
}

int socks_client_connect(struct socks_client *ret, const struct s5_policy *policy, const struct s5_server *server,
                         unsigned index, int timeout_ms)
{
    memset(ret, 0, sizeof(*ret));
    ret->fd = -1;
    socklen_t len, own = sizeof(ret->own);
    int result = s5_client_address(policy, server, index, &ret->server, &len);
    double begun = socks_client_now();
    if (result == 0)
        result = ret->fd = s5_client_reach(&ret->server, len, socks_client_until(timeout_ms));
    ret->reach_ms = socks_client_now() - begun;
    if (result >= 0)
        result = getsockname(ret->fd, (struct sockaddr *)&ret->own, &own) < 0 ? -errno : 0;
    if (result < 0)
        socks_client_end(ret);
    return result;
}

void socks_client_end(struct socks_client *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    s5_gss_free(t->gss);
    t->gss = NULL;
    s5_session_wipe(&t->link.session);
}

/* ---- Octets ---- */

/* Sends LEN octets of DATA until the point UNTIL. A hang-up of the server is not an error here: reading detects it.
 * Returns 0, or -errno. */
static int send_octets(struct socks_client *t, const void *data, size_t len, uint64_t until)
{
    for (const uint8_t *at = data; len > 0;) {
        ssize_t n = send(t->fd, at, len, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            int result = s5_client_await(t->fd, POLLOUT, until);
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

/* Receives at most LEN octets into DATA until the point UNTIL. Returns their number, 0 at the end of the connection (or
 * a reset), or -errno. */
static int receive_octets(struct socks_client *t, void *data, size_t len, uint64_t until)
{
    for (;;) {
        int result = s5_client_await(t->fd, POLLIN, until);
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

void socks_client_receive(struct socks_client *t, const char *data, size_t len, int timeout_ms)
{
    uint8_t in[SOCKS_CLIENT_HEAD];
    uint64_t until = socks_client_until(timeout_ms);
    if (send_octets(t, data, len, until) < 0)
        return;
    while (t->n_head < 8 && receive_octets(t, in, sizeof(in), until) > 0)
        continue;
}

/* ---- The protocol ---- */

int socks_client_negotiate(struct socks_client *t, const struct s5_session_setup *setup, const struct s5_gss_setup *gss,
                           int timeout_ms)
{
    struct s5_client c = {.link = &t->link, .fd = t->fd, .head = t->head, .head_size = sizeof(t->head)};
    uint64_t until = socks_client_until(timeout_ms), greeted = socks_client_until(SOCKS_CLIENT_GREET_MS);
    int result = s5_gss_link_start(&t->link, setup, gss);
    if (result == 0)
        result = s5_client_run(&c, setup->pipeline || greeted > until ? until : greeted);
    if (result == -ETIMEDOUT && s5_gss_link_state(&t->link) != S5_SESSION_METHOD)
        result = s5_client_run(&c, until);
    t->n_head = c.n_head;
    t->reply_ms = c.came > c.sent ? (double)(c.came - c.sent) / 1e6 : 0;
    if (result < 0)
        s5_session_abort(&t->link.session, result);
    return result;
}

int socks_client_offer(struct socks_client *t, uint8_t method, int timeout_ms)
{
    uint8_t out[8], in[S5_WIRE_SELECTION_LEN], chosen;
    struct s5_writer w = s5_writer_init(out, sizeof(out));
    s5_wire_write_greeting(&w, &method, 1);
    uint64_t until = socks_client_until(timeout_ms);
    int result = send_octets(t, out, w.used, until);
    for (size_t have = 0; result == 0 && have < sizeof(in);) {
        int n = receive_octets(t, in + have, sizeof(in) - have, until);
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
