/* Relays octets both ways. A direction holds at most one message that is received but not sent. It receives no more
 * until that message is sent. This is the back-pressure, and it limits the memory of a connection. Octets that are sent
 * at once only use the two scratch buffers.
 *
 *   up:    client -> wrap -> server      leftover: the rest of a sealed message
 *   down:  server -> unwrap -> client    leftover: unwrapped octets, and sealed octets after them
 *
 * An end of file is forwarded after all octets before it. A reset of the server is forwarded to the client after all
 * octets before it. A reset of the client does not discard what the client wrote, because programs that are killed end
 * that way. The connection to the server is then closed in an orderly way (CLOSING). */
#include "relay.h"
#include "conn.h"
#include "gss.h"
#include "journal.h"
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ROUNDS     8     /* messages that a direction forwards before other connections are served */
#define CLOSING_MS 10000 /* for a server to close after the client has ended */
#define LATE_MS    1000  /* the same while the server still sends to the client that is gone */

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

static enum passed send_up(struct conn *c, const uint8_t *octets, size_t n)
{
    ssize_t sent = c->server_deaf ? (ssize_t)n : send(c->server.fd, octets, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && !is_temporary(sent)) {
        c->server_deaf = true; /* the reason comes with recv(); octets of the client are discarded */
        sent = (ssize_t)n;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == n)
        return PASSED_ALL;
    return keep_octets(&c->up, octets + done, n - done) ? PASSED_WAIT_SINK : PASSED_LOST;
}

static enum passed send_up_rest(struct conn *c)
{
    struct block *b = c->up;
    if (!b)
        return PASSED_ALL;
    ssize_t n = send(c->server.fd, b->octets + b->at, b->len - b->at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && is_temporary(n))
        return PASSED_WAIT_SINK;
    if (n < 0)
        c->server_deaf = true;
    else
        b->at += (uint32_t)n;
    if (b->at < b->len && !c->server_deaf)
        return PASSED_WAIT_SINK;
    block_give(b);
    c->up = NULL;
    return PASSED_ALL;
}

/* Seals and sends OCTETS of the client, N of them and at most C->most. */
static enum passed pass_up(struct conn *c, const uint8_t *octets, size_t n)
{
    if (!c->sealed)
        return send_up(c, octets, n);
    int len = s5_seal_wrap(&c->seal, octets, n, scratch_out, sizeof scratch_out);
    if (len < 0) {
        journal(S5_LOG_ERROR, "server \"%s\": cannot protect: %s", conn_server_name(c), s5_gss_why(c->gss));
        return PASSED_LOST;
    }
    return send_up(c, scratch_out, (size_t)len);
}

static enum passed end_upstream(struct conn *c)
{
    if (!c->up_shut)
        shutdown(c->server.fd, SHUT_WR);
    c->up_shut = true;
    return PASSED_ALL;
}

static enum passed relay_up(struct conn *c)
{
    enum passed passed = send_up_rest(c);
    for (int i = 0; passed == PASSED_ALL && !c->up_ended; i++) {
        if (i == ROUNDS && !c->client.over)
            return PASSED_MORE;
        size_t most = c->most < sizeof scratch_in ? c->most : sizeof scratch_in;
        ssize_t n = recv(c->client.fd, scratch_in, most, MSG_DONTWAIT);
        if (is_temporary(n) && !c->client.over)
            return PASSED_WAIT_SOURCE;
        if (n <= 0) {
            c->up_ended = true;
            c->client_gone = c->client_gone || n < 0;
        } else
            passed = pass_up(c, scratch_in, (size_t)n);
    }
    return passed == PASSED_ALL ? end_upstream(c) : passed;
}

/* --- down --- */

/* Sends the unwrapped octets of B. */
static enum passed send_down(struct conn *c, struct block *b)
{
    while (c->down_plain) {
        ssize_t n = c->client_gone ? (ssize_t)c->down_plain
                                   : send(c->client.fd, b->octets + b->at, c->down_plain, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (is_temporary(n))
            return PASSED_WAIT_SINK;
        if (n < 0) {
            c->client_gone = true;
            continue;
        }
        b->at += (uint32_t)n;
        c->down_plain -= (uint32_t)n;
    }
    return PASSED_ALL;
}

/* Unwraps the message at RAW_AT in place. Returns PASSED_MORE if there are unwrapped octets, PASSED_ALL if the message
 * is incomplete, PASSED_LOST if it is not valid. */
static enum passed unwrap_message(struct conn *c, struct block *b)
{
    uint32_t have = b->len - c->down_raw_at;
    uint8_t *at = b->octets + c->down_raw_at;
    if (!c->sealed) {
        b->at = c->down_raw_at;
        c->down_plain = have;
        c->down_raw_at = b->len;
        return have ? PASSED_MORE : PASSED_ALL;
    }
    int len = s5_gss_frame_len(at, have, S5_GSS_DATA);
    if (len == 0 || (len > 0 && (uint32_t)len > have))
        return PASSED_ALL;
    int n = len < 0 ? len : s5_seal_unwrap(&c->seal, at, (size_t)len, at, (size_t)len);
    if (n < 0) {
        journal(S5_LOG_ERROR, "server \"%s\": %s", conn_server_name(c),
                len < 0 ? "not a protected message" : "a message that was modified");
        return PASSED_LOST;
    }
    b->at = c->down_raw_at;
    c->down_plain = (uint32_t)n;
    c->down_raw_at += (uint32_t)len;
    return PASSED_MORE;
}

/* Receives more octets from the server. They are appended to what B holds, which is less than a message. */
static enum passed receive_message(struct conn *c, struct block *b)
{
    memmove(b->octets, b->octets + c->down_raw_at, b->len - c->down_raw_at);
    b->len -= c->down_raw_at;
    b->at = c->down_raw_at = 0;
    ssize_t n = recv(c->server.fd, b->octets + b->len, sizeof b->octets - b->len, MSG_DONTWAIT);
    if (is_temporary(n) && !c->server.over)
        return PASSED_WAIT_SOURCE;
    if (n < 0)
        return PASSED_LOST;
    c->down_ended = n == 0;
    b->len += (uint32_t)n;
    return PASSED_ALL;
}

static enum passed end_downstream(struct conn *c, const struct block *b)
{
    if (b->len > c->down_raw_at) {
        journal(S5_LOG_ERROR, "server \"%s\": connection closed within a message", conn_server_name(c));
        return PASSED_LOST;
    }
    if (!c->down_shut && !c->client_gone)
        shutdown(c->client.fd, SHUT_WR);
    c->down_shut = true;
    return PASSED_ALL;
}

static enum passed relay_block(struct conn *c, struct block *b)
{
    for (int i = 0;; i++) {
        enum passed passed = send_down(c, b);
        if (passed != PASSED_ALL)
            return passed;
        passed = unwrap_message(c, b);
        if (passed == PASSED_LOST)
            return passed;
        if (passed == PASSED_MORE)
            continue;
        if (c->down_ended)
            return end_downstream(c, b);
        if (i >= ROUNDS && !c->server.over)
            return PASSED_MORE;
        passed = receive_message(c, b);
        if (passed != PASSED_ALL)
            return passed;
    }
}

static enum passed relay_down(struct conn *c)
{
    static struct block scratch;
    struct block *b = c->down ? c->down : &scratch;
    if (!c->down) {
        scratch.at = scratch.len = 0;
        c->down_plain = c->down_raw_at = 0;
    }
    enum passed passed = relay_block(c, b);
    bool left = passed != PASSED_LOST && (c->down_plain || b->len > c->down_raw_at);
    if (!left) {
        block_give(c->down);
        c->down = NULL;
        return passed;
    }
    if (c->down)
        return passed;
    uint32_t from = c->down_plain ? b->at : c->down_raw_at;
    if (!keep_octets(&c->down, b->octets + from, b->len - from))
        return PASSED_LOST;
    c->down_raw_at -= from;
    return passed;
}

/* --- both directions --- */

static void request_events(struct conn *c, enum passed up_is, enum passed down_is)
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
    loop_set_events(&c->client, client);
    loop_set_events(&c->server, server);
}

static void close_orderly(struct conn *c)
{
    c->state = CONN_CLOSING;
    c->deadline = loop_now() + CLOSING_MS;
    loop_close(&c->client);
    loop_set_events(&c->server, EPOLLIN);
}

static void run_relay(struct conn *c)
{
    enum passed down_is = relay_down(c);
    if (down_is == PASSED_LOST) {
        conn_reset(c);
        return;
    }
    enum passed up_is = relay_up(c);
    if (up_is == PASSED_LOST || (c->server_deaf && c->down_shut)) {
        conn_reset(c);
        return;
    }
    if (c->up_shut && c->down_shut)
        conn_end(c);
    else if (c->up_shut && c->client_gone)
        close_orderly(c);
    else
        request_events(c, up_is, down_is);
}

static void client_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    run_relay(CONN_OF(w, client));
}

static void read_closing(struct conn *c)
{
    ssize_t n = recv(c->server.fd, scratch_in, sizeof scratch_in, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !is_temporary(n)) || (n < 0 && c->server.over)) {
        conn_end(c);
        return;
    }
    if (n > 0 && !c->late) {
        c->late = true;
        c->deadline = loop_now() + LATE_MS;
    }
}

static void server_ready(struct watch *w, uint32_t ready)
{
    struct conn *c = CONN_OF(w, server);
    (void)ready;
    if (c->state == CONN_CLOSING)
        read_closing(c);
    else
        run_relay(c);
}

void relay_check_closing(struct conn *c)
{
    int unsent = 0;
    if (loop_now() >= c->deadline && (ioctl(c->server.fd, SIOCOUTQ, &unsent) < 0 || unsent == 0))
        conn_reset(c);
}

void relay_begin(struct conn *c, const void *surplus, size_t n, const void *early, size_t m)
{
    int on = 1;
    setsockopt(c->client.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    c->client.ready = client_ready;
    c->server.ready = server_ready;
    c->state = CONN_RELAY;
    if (n) {
        if (!keep_octets(&c->down, surplus, n)) {
            conn_reset(c);
            return;
        }
        c->down_plain = c->down_raw_at = (uint32_t)n;
    }
    if (m && pass_up(c, early, m) == PASSED_LOST)
        conn_reset(c);
    else
        run_relay(c);
}
