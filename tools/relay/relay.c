/* Relays octets both ways. A direction holds at most one message that is received but not sent. It receives no more
 * until that message is sent. This is the back-pressure, and it limits the memory of a connection. Octets that are sent
 * at once only use the two scratch buffers.
 *
 *   up:    client -> wrap -> server      leftover: the rest of a sealed message
 *   down:  server -> unwrap -> client    leftover: unwrapped octets, and sealed octets after them
 *
 * An end of file is forwarded after all octets before it. A reset of the server is forwarded to the client after all
 * octets before it. A reset of the client does not discard what the client wrote, because programs that are killed end
 * that way. The connection to the server is then closed in an orderly way (closing). */
#include "relay.h"
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ROUNDS     8     /* messages that a direction forwards before other connections are served */
#define CLOSING_MS 10000 /* for a server to close after the client has ended */
#define LATE_MS    1000  /* the same while the server still sends to the client that is gone */

uint8_t scratch_in[S5_GSS_MESSAGE_MAX], scratch_out[S5_GSS_MESSAGE_MAX];

enum passed { PASSED_ALL, PASSED_WAIT_SOURCE, PASSED_WAIT_SINK, PASSED_MORE, PASSED_LOST };

/* Returns true if N, the result of recv() or send(), is a temporary error. */
static bool is_temporary(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Copies OCTETS, N of them, to a new block *B. Returns false if there is no memory. */
static bool keep_octets(struct block **b, const void *octets, size_t n)
{
    *b = block_take();
    if (!*b)
        return false;
    memcpy((*b)->octets, octets, n);
    (*b)->len = (uint32_t)n;
    return true;
}

/* --- up --- */

static enum passed send_up(struct relay *r, const uint8_t *octets, size_t n)
{
    ssize_t sent = r->server_deaf ? (ssize_t)n : send(r->server.fd, octets, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && !is_temporary(sent)) {
        r->server_deaf = true; /* the reason comes with recv(); octets of the client are discarded */
        sent = (ssize_t)n;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == n)
        return PASSED_ALL;
    return keep_octets(&r->up, octets + done, n - done) ? PASSED_WAIT_SINK : PASSED_LOST;
}

static enum passed send_up_rest(struct relay *r)
{
    struct block *b = r->up;
    if (!b)
        return PASSED_ALL;
    ssize_t n = send(r->server.fd, b->octets + b->at, b->len - b->at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && is_temporary(n))
        return PASSED_WAIT_SINK;
    if (n < 0)
        r->server_deaf = true;
    else
        b->at += (uint32_t)n;
    if (b->at < b->len && !r->server_deaf)
        return PASSED_WAIT_SINK;
    block_give(b);
    r->up = NULL;
    return PASSED_ALL;
}

/* Seals and sends OCTETS of the client, N of them and at most R->most. */
static enum passed pass_up(struct relay *r, const uint8_t *octets, size_t n)
{
    if (!r->seal)
        return send_up(r, octets, n);
    int len = r->seal->wrap(r, octets, n, scratch_out, sizeof scratch_out);
    return len < 0 ? PASSED_LOST : send_up(r, scratch_out, (size_t)len);
}

static enum passed end_upstream(struct relay *r)
{
    if (!r->up_shut)
        shutdown(r->server.fd, SHUT_WR);
    r->up_shut = true;
    return PASSED_ALL;
}

static enum passed relay_up(struct relay *r)
{
    enum passed passed = send_up_rest(r);
    for (int i = 0; passed == PASSED_ALL && !r->up_ended; i++) {
        if (i == ROUNDS && !r->client.over)
            return PASSED_MORE;
        size_t most = r->most < sizeof scratch_in ? r->most : sizeof scratch_in;
        ssize_t n = recv(r->client.fd, scratch_in, most, MSG_DONTWAIT);
        if (is_temporary(n) && !r->client.over)
            return PASSED_WAIT_SOURCE;
        if (n <= 0) {
            r->up_ended = true;
            r->client_gone = r->client_gone || n < 0;
        } else
            passed = pass_up(r, scratch_in, (size_t)n);
    }
    return passed == PASSED_ALL ? end_upstream(r) : passed;
}

/* --- down --- */

/* Sends the unwrapped octets of B. */
static enum passed send_down(struct relay *r, struct block *b)
{
    while (r->down_plain) {
        ssize_t n = r->client_gone ? (ssize_t)r->down_plain
                                   : send(r->client.fd, b->octets + b->at, r->down_plain, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (is_temporary(n))
            return PASSED_WAIT_SINK;
        if (n < 0) {
            r->client_gone = true;
            continue;
        }
        b->at += (uint32_t)n;
        r->down_plain -= (uint32_t)n;
    }
    return PASSED_ALL;
}

/* Unwraps the message at RAW_AT in place. Returns PASSED_MORE if there are unwrapped octets, PASSED_ALL if the message
 * is incomplete, PASSED_LOST if it is not valid. */
static enum passed unwrap_message(struct relay *r, struct block *b)
{
    uint32_t have = b->len - r->down_raw_at;
    uint8_t *at = b->octets + r->down_raw_at;
    if (!r->seal) {
        b->at = r->down_raw_at;
        r->down_plain = have;
        r->down_raw_at = b->len;
        return have ? PASSED_MORE : PASSED_ALL;
    }
    int len = r->seal->measure(r, at, have);
    if (len == 0 || (len > 0 && (uint32_t)len > have))
        return PASSED_ALL;
    int n = len < 0 ? len : r->seal->unwrap(r, at, (size_t)len);
    if (n < 0)
        return PASSED_LOST;
    b->at = r->down_raw_at;
    r->down_plain = (uint32_t)n;
    r->down_raw_at += (uint32_t)len;
    return PASSED_MORE;
}

/* Receives more octets from the server. They are appended to what B holds, which is less than a message. */
static enum passed receive_message(struct relay *r, struct block *b)
{
    memmove(b->octets, b->octets + r->down_raw_at, b->len - r->down_raw_at);
    b->len -= r->down_raw_at;
    b->at = r->down_raw_at = 0;
    ssize_t n = recv(r->server.fd, b->octets + b->len, sizeof b->octets - b->len, MSG_DONTWAIT);
    if (is_temporary(n) && !r->server.over)
        return PASSED_WAIT_SOURCE;
    if (n < 0)
        return PASSED_LOST;
    r->down_ended = n == 0;
    b->len += (uint32_t)n;
    return PASSED_ALL;
}

static enum passed end_downstream(struct relay *r, const struct block *b)
{
    if (b->len > r->down_raw_at) {
        r->seal->torn(r);
        return PASSED_LOST;
    }
    if (!r->down_shut && !r->client_gone)
        shutdown(r->client.fd, SHUT_WR);
    r->down_shut = true;
    return PASSED_ALL;
}

static enum passed relay_block(struct relay *r, struct block *b)
{
    for (int i = 0;; i++) {
        enum passed passed = send_down(r, b);
        if (passed != PASSED_ALL)
            return passed;
        passed = unwrap_message(r, b);
        if (passed == PASSED_LOST)
            return passed;
        if (passed == PASSED_MORE)
            continue;
        if (r->down_ended)
            return end_downstream(r, b);
        if (i >= ROUNDS && !r->server.over)
            return PASSED_MORE;
        passed = receive_message(r, b);
        if (passed != PASSED_ALL)
            return passed;
    }
}

static enum passed relay_down(struct relay *r)
{
    static struct block scratch;
    struct block *b = r->down ? r->down : &scratch;
    if (!r->down) {
        scratch.at = scratch.len = 0;
        r->down_plain = r->down_raw_at = 0;
    }
    enum passed passed = relay_block(r, b);
    bool left = passed != PASSED_LOST && (r->down_plain || b->len > r->down_raw_at);
    if (!left) {
        block_give(r->down);
        r->down = NULL;
        return passed;
    }
    if (r->down)
        return passed;
    uint32_t from = r->down_plain ? b->at : r->down_raw_at;
    if (!keep_octets(&r->down, b->octets + from, b->len - from))
        return PASSED_LOST;
    r->down_raw_at -= from;
    return passed;
}

/* --- both directions --- */

static void request_events(struct relay *r, enum passed up_is, enum passed down_is)
{
    uint32_t client = 0, server = 0;
    if (up_is == PASSED_WAIT_SOURCE || up_is == PASSED_MORE)
        client |= EPOLLIN;
    if (up_is == PASSED_WAIT_SINK)
        server |= EPOLLOUT;
    if (down_is == PASSED_WAIT_SOURCE || down_is == PASSED_MORE)
        server |= EPOLLIN;
    if (down_is == PASSED_WAIT_SINK)
        client |= EPOLLOUT;
    loop_set_events(&r->client, client);
    loop_set_events(&r->server, server);
}

static void close_orderly(struct relay *r)
{
    r->closing = true;
    r->deadline = loop_now() + CLOSING_MS;
    loop_close(&r->client);
    loop_set_events(&r->server, EPOLLIN);
}

static void run_relay(struct relay *r)
{
    enum passed down_is = relay_down(r);
    if (down_is == PASSED_LOST) {
        r->ended(r, true);
        return;
    }
    enum passed up_is = relay_up(r);
    if (up_is == PASSED_LOST || (r->server_deaf && r->down_shut)) {
        r->ended(r, true);
        return;
    }
    if (r->up_shut && r->down_shut)
        r->ended(r, false);
    else if (r->up_shut && r->client_gone)
        close_orderly(r);
    else
        request_events(r, up_is, down_is);
}

static void client_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    run_relay(RELAY_OF(w, client));
}

static void read_closing(struct relay *r)
{
    ssize_t n = recv(r->server.fd, scratch_in, sizeof scratch_in, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !is_temporary(n)) || (n < 0 && r->server.over)) {
        r->ended(r, false);
        return;
    }
    if (n > 0 && !r->late) {
        r->late = true;
        r->deadline = loop_now() + LATE_MS;
    }
}

static void server_ready(struct watch *w, uint32_t ready)
{
    struct relay *r = RELAY_OF(w, server);
    (void)ready;
    if (r->closing)
        read_closing(r);
    else
        run_relay(r);
}

void relay_close(struct relay *r, bool reset)
{
    struct linger now = {1, 0};
    struct watch *both[] = {&r->client, &r->server};
    for (int i = 0; i < 2; i++) {
        if (reset && both[i]->fd >= 0)
            setsockopt(both[i]->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        loop_close(both[i]);
    }
    block_give(r->up);
    block_give(r->down);
    r->up = r->down = NULL;
}

void relay_check_closing(struct relay *r)
{
    int unsent = 0;
    if (loop_now() >= r->deadline && (ioctl(r->server.fd, SIOCOUTQ, &unsent) < 0 || unsent == 0))
        r->ended(r, true);
}

void relay_begin(struct relay *r, const void *surplus, size_t n, const void *early, size_t m)
{
    int on = 1;
    setsockopt(r->client.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    r->client.ready = client_ready;
    r->server.ready = server_ready;
    if (n) {
        if (!keep_octets(&r->down, surplus, n)) {
            r->ended(r, true);
            return;
        }
        r->down_plain = r->down_raw_at = (uint32_t)n;
    }
    if (m && pass_up(r, early, m) == PASSED_LOST)
        r->ended(r, true);
    else
        run_relay(r);
}
