/* Handles a connection from its request to the server's reply: requests a ticket if one is needed, dials the server's
 * addresses one after another, and negotiates. Meanwhile the client is only watched for a hang-up. */
#include "upstream.h"
#include "client.h"
#include "datagram.h"
#include "error.h"
#include "gss.h"
#include "journal.h"
#include "pick.h"
#include "relay.h"
#include "reply.h"
#include "ticket.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static bool offers_gssapi(const struct s5_server *server)
{
    return memchr(server->methods, S5_METHOD_GSSAPI, server->n_methods) != NULL;
}

/* --- failures --- */

/* The errors of a connect() whose cause is this machine. */
static bool is_error_of_socket(int error)
{
    return error == -EINVAL || error == -EADDRINUSE || error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT ||
           error == -EPERM || error == -ENOBUFS || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* Returns what the failure of C with ERROR says of its server. negotiate/next_server.c has the same rules. */
static enum s5_reply_mark judge_failure(const struct conn *c, int error)
{
    const struct s5_session *s = &c->upstream->link.session;
    unsigned state = s->state == S5_SESSION_FAILED ? s->failed_in : s->state;
    if (c->state != CONN_TALKING)
        return is_error_of_socket(error) ? S5_REPLY_UNSUITABLE : S5_REPLY_DOWN;
    if (s->have_rep || state > S5_SESSION_REPLY)
        return S5_REPLY_PLAIN;
    if (state < S5_SESSION_REPLY)
        return S5_REPLY_DOWN;
    if (error == -EPROTO)
        return S5_REPLY_UNSUITABLE;
    return error == -ECONNREFUSED || error == -ECONNRESET ? S5_REPLY_CLOSED : S5_REPLY_PLAIN;
}

/* Continues C with the next server of its rule, if the server is the cause of a failure marked with MARK. Returns false
 * if it is not, or if no server is left. */
static bool try_next_server(struct conn *c, enum s5_reply_mark mark)
{
    struct conn_upstream *u = c->upstream;
    const struct s5_session *s = &u->link.session;
    bool unsuitable = mark == S5_REPLY_UNSUITABLE || (s->have_rep && (s->rep == 7 || s->rep == 8));
    if ((mark != S5_REPLY_DOWN && !unsuitable) || !pick_next(c, mark == S5_REPLY_DOWN))
        return false;
    loop_close(&c->relay.server);
    s5_gss_free(c->gss);
    c->gss = NULL;
    if (u->buffers)
        munmap(u->buffers, sizeof *u->buffers);
    u->buffers = NULL;
    u->without_gssapi = false;
    u->address = 0;
    explicit_bzero(&u->link, sizeof u->link);
    upstream_begin(c);
    return true;
}

void upstream_fail(struct conn *c, int error)
{
    const struct s5_session *s = &c->upstream->link.session;
    enum s5_reply_mark mark = judge_failure(c, error);
    if (try_next_server(c, mark))
        return;
    c->upstream->front.mark = (uint8_t)mark;
    conn_refuse(c, error, s->have_rep ? s->rep : 0);
}

/* --- the negotiation --- */

static void log_failure(struct conn *c, int error)
{
    const struct s5_gss_link *l = &c->upstream->link;
    const char *why = c->gss ? s5_gss_why(c->gss) : "";
    if (*why)
        journal(S5_LOG_ERROR, "server \"%s\": %s: %s", conn_server_name(c), s5_gss_link_phase(l), why);
    else if (!l->session.have_rep || l->session.rep == 0)
        journal(S5_LOG_ERROR, "server \"%s\": %s: %s", conn_server_name(c), s5_gss_link_phase(l),
                error == -EACCES && l->state != S5_GSS_LINK_SESSION ? "refused by the server" : s5_error_text(error));
}

static void fail_negotiation(struct conn *c, int error)
{
    log_failure(c, error);
    if (error == -EACCES && offers_gssapi(conn_server(c)))
        ticket_forget(c->server_index);
    upstream_fail(c, error);
}

/* --- the stream --- */

static struct conn *get_conn(struct relay *r)
{
    return (struct conn *)((char *)r - offsetof(struct conn, relay));
}

static void end_relay(struct relay *r, bool reset)
{
    if (reset)
        conn_reset(get_conn(r));
    else
        conn_end(get_conn(r));
}

static int wrap_octets(struct relay *r, const uint8_t *octets, size_t n, uint8_t *ret, size_t size)
{
    struct conn *c = get_conn(r);
    int len = s5_seal_wrap(&c->seal, octets, n, ret, size);
    if (len < 0)
        journal(S5_LOG_ERROR, "server \"%s\": cannot protect: %s", conn_server_name(c), s5_gss_why(c->gss));
    return len;
}

static int measure_message(struct relay *r, const uint8_t *octets, size_t n)
{
    int len = s5_gss_frame_len(octets, n, S5_GSS_DATA);
    if (len < 0)
        journal(S5_LOG_ERROR, "server \"%s\": not a protected message", conn_server_name(get_conn(r)));
    return len;
}

static int unwrap_message(struct relay *r, uint8_t *octets, size_t len)
{
    struct conn *c = get_conn(r);
    int n = s5_seal_unwrap(&c->seal, octets, len, octets, len);
    if (n < 0)
        journal(S5_LOG_ERROR, "server \"%s\": a message that was modified", conn_server_name(c));
    return n;
}

static void log_torn_message(struct relay *r)
{
    journal(S5_LOG_ERROR, "server \"%s\": connection closed within a message", conn_server_name(get_conn(r)));
}

static const struct relay_seal relay_seal = {wrap_octets, measure_message, unwrap_message, log_torn_message};

static void start_stream(struct conn *c)
{
    struct conn_upstream *u = c->upstream;
    size_t n, m;
    c->deadline = 0;
    c->sealed = s5_gss_link_level(&u->link) != S5_SEAL_CLEAR;
    if (c->sealed) {
        c->seal = *s5_gss_link_seal(&u->link);
        c->relay.seal = &relay_seal;
        c->relay.most = (uint32_t)s5_seal_most(&c->seal);
    } else {
        s5_gss_free(c->gss);
        c->gss = NULL;
        c->relay.most = sizeof scratch_in;
    }
    if (u->front.command == S5_UDP_ASSOCIATE) {
        datagram_begin(c, s5_session_bound(&u->link.session));
        return;
    }
    front_reply(&u->front, 0, 0, s5_session_bound(&u->link.session));
    if (!conn_say(c))
        return;
    const uint8_t *surplus = s5_gss_link_surplus(&u->link, &n);
    const uint8_t *early = front_surplus(&u->front, &m);
    c->upstream = NULL;
    c->state = CONN_RELAY;
    c->relay.ended = end_relay;
    relay_begin(&c->relay, surplus, n, early, m);
    /* C may be ended here. U does not belong to it any more. */
    conn_end_upstream(u);
}

/* Sends the client the first reply of BIND. Returns false if the client is gone. */
static bool send_bound(struct conn *c)
{
    struct s5_gss_link *l = &c->upstream->link;
    c->deadline = 0; /* the peer may take any time to connect */
    front_reply(&c->upstream->front, 0, 0, s5_session_bound(&l->session));
    if (!conn_say(c))
        return false;
    s5_gss_link_next_reply(l);
    loop_set_events(&c->relay.client, EPOLLRDHUP); /* a client that closes now cancels its request */
    return true;
}

static void run_negotiation(struct conn *c)
{
    struct s5_client client = {.link = &c->upstream->link, .fd = c->relay.server.fd};
    for (;;) {
        int result = s5_client_step(&client);
        if (result == -EAGAIN && client.poll_events == POLLIN && c->relay.server.over)
            result = s5_gss_link_eof(client.link);
        if (result == -EAGAIN) {
            bool accepted = c->upstream->link.session.state == S5_SESSION_REPLY;
            loop_set_events(&c->relay.server, client.poll_events == POLLOUT ? EPOLLOUT : EPOLLIN);
            if (accepted && c->rule >= 0)
                c->deadline = c->until; /* the target may be slow */
            if (accepted)
                conn_say(c);
            return;
        }
        if (result < 0) {
            fail_negotiation(c, result);
            return;
        }
        if (s5_gss_link_state(client.link) == S5_SESSION_DONE) {
            start_stream(c);
            return;
        }
        if (!send_bound(c))
            return;
    }
}

/* --- dialling --- */

static void dial_next(struct conn *c, int error);

/* Sets the options of a connection over a network. A UNIX socket refuses them. */
static void set_tcp_options(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void server_ready(struct watch *w, uint32_t ready)
{
    struct conn *c = CONN_OF(w, relay.server);
    (void)ready;
    if (c->state == CONN_DIALING) {
        int error = s5_client_dialled(w->fd);
        if (error) {
            loop_close(w);
            dial_next(c, error);
            return;
        }
        set_tcp_options(w->fd);
        c->state = CONN_TALKING;
    }
    run_negotiation(c);
}

/* Dials the server's next address. ERROR is the error of the previous one. */
static void dial_next(struct conn *c, int error)
{
    struct sockaddr_storage to;
    socklen_t len;
    while (s5_client_address(c->policy, conn_server(c), c->upstream->address++, &to, &len) == 0) {
        int fd;
        error = s5_client_dial(&to, len, &fd);
        if (error == 0 || error == -EINPROGRESS) {
            c->relay.server = (struct watch){.fd = fd, .ready = server_ready};
            c->state = CONN_DIALING;
            if (loop_set_events(&c->relay.server, EPOLLOUT) == 0)
                return;
            loop_close(&c->relay.server);
        } else if (error == -EAGAIN) { /* conn_expire() tries again */
            conns.crowded = true;
            c->state = CONN_WAITING;
            return;
        } else if (error == -ENOENT) /* no such file: no server listens there, as with a port */
            error = -ECONNREFUSED;
    }
    journal(S5_LOG_WARNING, "server \"%s\" cannot be reached: %s", conn_server_name(c), s5_error_text(error));
    upstream_fail(c, error);
}

void upstream_retry(struct conn *c)
{
    c->upstream->address = 0;
    dial_next(c, -EHOSTUNREACH);
}

/* --- start --- */

static void fill_methods(const struct conn *c, struct s5_session_setup *setup)
{
    const struct s5_server *server = conn_server(c);
    for (unsigned i = 0; i < server->n_methods; i++)
        if (server->methods[i] != S5_METHOD_GSSAPI || !c->upstream->without_gssapi)
            setup->methods[setup->n_methods++] = server->methods[i];
}

/* Sets the user name and password for an isolated server: those of the identity that the client sent, or of one that is
 * derived for it. Returns 0, or -EACCES. */
static int set_isolation(const struct conn *c, struct s5_session_setup *setup, struct s5_isolation_words *words)
{
    static uint64_t key[2];
    const struct s5_server *server = conn_server(c);
    const struct front *f = &c->upstream->front;
    struct s5_identity identity = f->identity;
    if (conns.shm && !f->identified)
        return -EACCES;
    if (!f->identified) {
        if (!key[0] && getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
            return -EACCES;
        s5_isolation_derive(&identity, key, server, 0, &f->dst);
    }
    s5_isolation_words(words, server, &identity);
    setup->username = words->username;
    setup->username_len = words->username_len;
    setup->password = words->password;
    setup->password_len = words->password_len;
    return 0;
}

static int start_link(struct conn *c, bool gssapi)
{
    const struct s5_server *server = conn_server(c);
    struct front *f = &c->upstream->front;
    struct s5_session_setup setup = {
        .command = (enum s5_command)f->command,
        .dst = &f->dst,
        .username = server->username,
        .username_len = server->username_len,
        .password = server->password,
        .password_len = server->password_len,
        .pipeline = server->pipeline == S5_PIPELINE_ON,
    };
    struct s5_gss_setup gss = {.provider = NULL};
    static const struct s5_addr none = {.kind = S5_ADDR_NONE};
    if (f->command == S5_UDP_ASSOCIATE)
        setup.dst = &none; /* the datagram socket of the bridge does not exist yet */
    fill_methods(c, &setup);
    struct s5_isolation_words words;
    if (server->isolate && set_isolation(c, &setup, &words) < 0)
        return -EACCES;
    if (gssapi) {
        void *buffers = mmap(NULL, sizeof *c->upstream->buffers, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (buffers == MAP_FAILED)
            return -ENOMEM;
        c->upstream->buffers = buffers;
        gss = (struct s5_gss_setup){&s5_gss_provider, c->gss, buffers, server->gssapi_protection, server->gssapi_nec};
    }
    return s5_gss_link_start(&c->upstream->link, &setup, &gss);
}

static int make_context(struct conn *c)
{
    const struct s5_server *server = conn_server(c);
    struct s5_gss_fault fault;
    struct s5_gss_target target = {
        .service = s5_policy_text(c->policy, server->gssapi_service),
        .host = server->is_path ? "localhost" : s5_policy_text(c->policy, server->host),
        .principal = ticket_principal(c->server_index),
        .delegate = server->gssapi_delegate,
    };
    int result = s5_gss_new(&c->gss, &target, &fault);
    if (result < 0)
        journal(S5_LOG_ERROR, "server \"%s\": Kerberos: %s", conn_server_name(c), fault.text);
    return result;
}

static void start_negotiation(struct conn *c)
{
    bool gssapi = offers_gssapi(conn_server(c)) && !c->upstream->without_gssapi;
    int result = gssapi ? make_context(c) : 0;
    if (result == 0)
        result = start_link(c, gssapi);
    if (result < 0)
        upstream_fail(c, result == -EINVAL ? -EOPNOTSUPP : result);
    else
        dial_next(c, -EHOSTUNREACH);
}

/* Continues without a ticket: offers the server's other methods, or refuses the client if there are none. */
static void start_without_gssapi(struct conn *c)
{
    if (conn_server(c)->n_methods < 2) {
        upstream_fail(c, -EACCES);
        return;
    }
    c->upstream->without_gssapi = true;
    start_negotiation(c);
}

void upstream_ticket_done(int index, enum ticket_state state)
{
    struct conn *next;
    for (struct conn *c = conns.first; c; c = next) {
        next = c->next;
        if (c->state != CONN_TICKET || c->server_index != index)
            continue;
        if (state == TICKET_GOOD)
            start_negotiation(c);
        else
            start_without_gssapi(c);
    }
}

void upstream_begin(struct conn *c)
{
    c->deadline = pick_deadline(c);
    c->state = CONN_TICKET;
    if (!offers_gssapi(conn_server(c))) {
        start_negotiation(c);
        return;
    }
    switch (ticket_get(c->policy, c->server_index)) {
    case TICKET_GOOD:
        start_negotiation(c);
        break;
    case TICKET_ASKING:
        break;
    default:
        start_without_gssapi(c);
        break;
    }
}
