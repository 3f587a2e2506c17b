/* Starts and ends connections, and handles the client until its request is known. */
#include "conn.h"
#include "gss.h"
#include "journal.h"
#include "pick.h"
#include "relay.h"
#include "upstream.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRONT_MS 30000 /* for a client to send its request */

struct conn_common conns;

const struct s5_server *conn_server(const struct conn *c)
{
    return &c->policy->servers[c->server_index];
}

const char *conn_server_name(const struct conn *c)
{
    return s5_policy_text(c->policy, conn_server(c)->name);
}

/* --- end --- */

void conn_end_upstream(struct conn_upstream *u)
{
    if (!u)
        return;
    if (u->buffers)
        munmap(u->buffers, sizeof *u->buffers);
    explicit_bzero(u, sizeof *u); /* it holds passwords */
    free(u);
}

static void release_conn(struct conn *c, bool reset)
{
    relay_close(&c->relay, reset);
    loop_close(&c->inner);
    loop_close(&c->outer);
    conn_end_upstream(c->upstream);
    s5_gss_free(c->gss);
    if (c->prev)
        c->prev->next = c->next;
    else
        conns.first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    conns.count--;
    loop_dispose(c);
}

void conn_end(struct conn *c)
{
    release_conn(c, false);
}

void conn_reset(struct conn *c)
{
    release_conn(c, true);
}

/* A short count means that the client is gone: what the front writes fits into the empty send buffer of any socket. */
bool conn_say(struct conn *c)
{
    struct front *f = &c->upstream->front;
    ssize_t n = f->out_len ? send(c->relay.client.fd, f->out, f->out_len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n != f->out_len) {
        conn_end(c);
        return false;
    }
    f->out_len = 0;
    return true;
}

void conn_refuse(struct conn *c, int error, uint8_t rep)
{
    front_reply(&c->upstream->front, error, rep, NULL);
    if (!conn_say(c))
        return;
    /* close() with unread octets would send a reset, and the client would lose the reply. */
    while (recv(c->relay.client.fd, scratch_in, sizeof scratch_in, MSG_DONTWAIT) > 0)
        ;
    conn_end(c);
}

/* --- start --- */

static int choose_server(struct conn *c)
{
    struct front *f = &c->upstream->front;
    if (conns.refresh)
        conns.refresh();
    c->policy = conns.policy;
    if (conns.shm) {
        if (f->server < 0 || f->server >= (int)conns.policy->n_servers)
            return -EACCES;
        c->server_index = f->server;
        return 0;
    }
    return pick_begin(c);
}

/* Reads the octets of the client up to its request. After the request it only detects that the client hangs up. */
static void client_ready(struct watch *w, uint32_t ready)
{
    struct conn *c = CONN_OF(w, relay.client);
    struct front *f = &c->upstream->front;
    if (c->state != CONN_FRONT) {
        if (w->over || ready & EPOLLRDHUP)
            conn_end(c);
        return;
    }
    size_t room;
    uint8_t *to = front_input(f, &room);
    ssize_t n = recv(w->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_end(c);
        return;
    }
    front_took(f, &conns.users, (size_t)n);
    /* An engine gets no answer before the server has accepted the user. If its time for this server passes before that,
     * it tries another server, as without a bridge. */
    if (!(conns.shm && f->state == FRONT_ASKED) && !conn_say(c))
        return;
    if (f->state == FRONT_FAILED) {
        conn_end(c);
        return;
    }
    if (f->state != FRONT_ASKED)
        return;
    loop_set_events(w, 0);
    int result = choose_server(c);
    if (result < 0)
        conn_refuse(c, result, 0);
    else
        upstream_begin(c);
}

void conn_begin(int fd)
{
    int on = 1;
    struct conn *c = calloc(1, sizeof *c);
    struct conn_upstream *u = c ? calloc(1, sizeof *u) : NULL;
    if (!u) {
        free(c);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->upstream = u;
    c->server_index = c->rule = -1;
    c->policy = conns.policy;
    c->relay.client = (struct watch){.fd = fd, .ready = client_ready};
    c->relay.server = c->inner = c->outer = (struct watch){.fd = -1};
    c->deadline = loop_now() + FRONT_MS;
    front_start(&u->front);
    c->next = conns.first;
    if (c->next)
        c->next->prev = c;
    conns.first = c;
    conns.count++;
    if (loop_set_events(&c->relay.client, EPOLLIN) < 0)
        conn_end(c);
}

/* --- deadlines --- */

void conn_expire(void)
{
    struct conn *next;
    conns.crowded = false;
    for (struct conn *c = conns.first; c; c = next) {
        next = c->next;
        if (c->relay.closing) {
            relay_check_closing(&c->relay);
            continue;
        }
        if (!c->deadline || loop_now() < c->deadline) {
            if (c->state == CONN_WAITING && !conns.crowded)
                upstream_retry(c);
            continue;
        }
        if (c->state == CONN_FRONT)
            conn_end(c);
        else {
            journal(S5_LOG_WARNING, "server \"%s\": connection timed out", conn_server_name(c));
            upstream_fail(c, -ETIMEDOUT);
        }
    }
}
