/* Whole messages are appended to OUT. Received octets are collected in IN and parsed, one message at a time, after
 * every piece, so that an answer that cannot become valid fails without waiting for its end.
 *
 *            selection              status                 reply            second reply
 *   METHOD ------------> AUTH ----------------> REPLY -------------> DONE
 *      |                                         ^ |  BIND           ^
 *      +-----------------------------------------+ +------> BOUND    |
 *        method without a sub-negotiation           next_reply() \--> REPLY2
 *
 * Each state except DONE can change to FAILED. Pipelining changes when messages are queued, never the order in
 * which answers are read. Most of a session's two kilobytes are buffers, and only their used part is touched. */
#include "session.h"
#include "auth.h"
#include "bytes.h"
#include "reply.h"
#include "wire.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(S5_SESSION_IN_MAX >= S5_WIRE_SELECTION_LEN + S5_WIRE_STATUS_LEN + 4 + 1 + S5_ADDR_NAME_MAX + 2,
              "IN holds any reply behind what came with its beginning");
static_assert(S5_SESSION_OUT_MAX >= 2 + S5_SESSION_METHODS_MAX + 3 + 2 * 255 + 4 + 1 + S5_ADDR_NAME_MAX + 2,
              "OUT holds everything that is written at once");
static_assert(sizeof((struct s5_session *)0)->methods == sizeof((struct s5_session_setup *)0)->methods,
              "methods are copied whole");

/* --- states --- */

static void forget_credentials(struct s5_session *s)
{
    explicit_bzero(s->username, s->username_len);
    explicit_bzero(s->password, s->password_len);
    s->username_len = s->password_len = 0;
}

/* The only function that changes the state of a started session. */
static void enter_state(struct s5_session *s, enum s5_session_state state)
{
    if (state == S5_SESSION_FAILED) {
        s->failed_in = s->state;
        forget_credentials(s);
        explicit_bzero(s->out, s->out_len);
        s->out_len = s->out_sent = 0;
    }
    s->in_at = (uint16_t)(s->in_at + s->in_want);
    if (s->in_at >= s->in_len || state == S5_SESSION_FAILED)
        s->in_at = s->in_len = 0;
    s->in_want = state == S5_SESSION_AUTH ? s5_auth_find(s->method)->answer_len : S5_WIRE_REPLY_MIN;
    s->state = (uint8_t)state;
}

static int fail_session(struct s5_session *s, int error)
{
    s->error = error;
    enter_state(s, S5_SESSION_FAILED);
    return error;
}

/* --- output --- */

static struct s5_writer get_out_writer(struct s5_session *s)
{
    return s5_writer_init(s->out + s->out_len, sizeof s->out - s->out_len);
}

static void queue_greeting(struct s5_session *s)
{
    struct s5_writer w = get_out_writer(s);
    s5_wire_write_greeting(&w, s->methods, s->n_methods);
    s->out_len = (uint16_t)(s->out_len + w.used);
}

static void queue_auth(struct s5_session *s, const struct s5_auth *auth)
{
    if (auth->answer_len && !s->auth_queued) {
        struct s5_writer w = get_out_writer(s);
        auth->write(s, &w);
        s->out_len = (uint16_t)(s->out_len + w.used);
        s->auth_queued = true;
    }
    if (s->username_len) /* also if a method other than username/password was selected */
        forget_credentials(s);
}

static void queue_request(struct s5_session *s)
{
    if (s->request_queued)
        return;
    struct s5_writer w = get_out_writer(s);
    s5_wire_write_request(&w, s->command, &s->dst);
    s->request_at = s->out_len;
    s->out_len = (uint16_t)(s->out_len + w.used);
    s->request_queued = true;
}

const uint8_t *s5_session_out(const struct s5_session *s, size_t *ret_len)
{
    *ret_len = s->out_len - s->out_sent;
    return s->out + s->out_sent;
}

void s5_session_sent(struct s5_session *s, size_t n)
{
    size_t left = s->out_len - s->out_sent;
    if (n > left)
        n = left;
    if (s->auth_queued)
        explicit_bzero(s->out + s->out_sent, n);
    s->out_sent = (uint16_t)(s->out_sent + n);
    if (s->out_sent == s->out_len)
        s->out_len = s->out_sent = 0;
}

/* These functions return whether the last octet of a message was written. Messages are appended to OUT only when it
 * is empty, and by s5_session_start(): a greeting in OUT is at its beginning, a request at its end. */

static bool is_greeting_sent(const struct s5_session *s)
{
    return s->out_len == 0 || s->out_sent >= 2 + s->n_methods;
}

static bool is_auth_sent(const struct s5_session *s)
{
    return s->auth_queued && (s->out_len == 0 || (s->request_queued && s->out_sent >= s->request_at));
}

static bool is_request_sent(const struct s5_session *s)
{
    return s->request_queued && s->out_len == 0;
}

/* --- start --- */

static int check_dst(const struct s5_addr *dst)
{
    if (!dst || dst->kind > S5_ADDR_NAME || (dst->kind == S5_ADDR_NAME && !dst->name_len))
        return -EINVAL;
    return 0;
}

static int check_setup(const struct s5_session_setup *setup)
{
    if (setup->command < S5_CONNECT || setup->command > S5_UDP_ASSOCIATE || setup->n_methods < 1 ||
        setup->n_methods > S5_SESSION_METHODS_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < setup->n_methods; i++) {
        const struct s5_auth *auth = s5_auth_find(setup->methods[i]);
        if (!auth || (auth->check && auth->check(setup) < 0))
            return -EINVAL;
    }
    return check_dst(setup->dst);
}

/* Copies only the octets that are set: most of the space for a name is not. */
static void copy_dst(struct s5_addr *to, const struct s5_addr *from)
{
    memcpy(to, from, offsetof(struct s5_addr, octets) + sizeof from->octets);
    if (from->kind == S5_ADDR_NAME)
        memcpy(to->name, from->name, from->name_len + 1U);
}

/* Initializes a DONE or FAILED session, or memory never used: every field that is read before it is set elsewhere. */
static void init_session(struct s5_session *s, const struct s5_session_setup *setup)
{
    s->state = S5_SESSION_METHOD;
    s->command = (uint8_t)setup->command;
    s->n_methods = setup->n_methods;
    memcpy(s->methods, setup->methods, sizeof s->methods);
    s->method = setup->n_methods == 1 ? setup->methods[0] : S5_WIRE_NO_METHOD;
    s->rep = 0;
    s->have_rep = s->auth_queued = s->request_queued = s->auth_odd = false;
    s->pipeline = setup->pipeline;
    s->failed_in = S5_SESSION_METHOD;
    s->error = 0;
    s->out_len = s->out_sent = s->request_at = s->in_at = s->in_len = 0;
    s->in_want = S5_WIRE_SELECTION_LEN;
    s->username_len = s->password_len = 0;
    copy_dst(&s->dst, setup->dst);
    s->bound.kind = S5_ADDR_NONE;
    s->bound.name_len = 0;
    s->bound.port = 0;
    s->bound.scope = 0;
}

int s5_session_start(struct s5_session *s, const struct s5_session_setup *setup)
{
    int r = check_setup(setup);
    if (r < 0)
        return r;
    init_session(s, setup);
    for (unsigned i = 0; i < setup->n_methods; i++) {
        const struct s5_auth *auth = s5_auth_find(setup->methods[i]);
        if (auth->keep)
            auth->keep(s, setup);
    }
    queue_greeting(s);
    if (s->pipeline && s->n_methods == 1 && !s5_auth_find(s->method)->foreign) {
        queue_auth(s, s5_auth_find(s->method));
        queue_request(s);
    }
    return 0;
}

/* --- input --- */

static bool is_offered(const struct s5_session *s, uint8_t method)
{
    for (unsigned i = 0; i < s->n_methods; i++)
        if (s->methods[i] == method)
            return true;
    return false;
}

static int read_selection(struct s5_session *s, struct s5_reader *r)
{
    uint8_t method;
    int result = s5_wire_read_selection(r, &method);
    if (result < 0)
        return result;
    if (method == S5_WIRE_NO_METHOD)
        return -EACCES;
    if (!is_offered(s, method))
        return -EPROTO;
    const struct s5_auth *auth = s5_auth_find(method);
    s->method = method;
    queue_auth(s, auth);
    if (!auth->foreign && (s->pipeline || !auth->answer_len))
        queue_request(s);
    enter_state(s, auth->answer_len || auth->foreign ? S5_SESSION_AUTH : S5_SESSION_REPLY);
    return 0;
}

void s5_session_authenticated(struct s5_session *s)
{
    if (s->state != S5_SESSION_AUTH || !s5_auth_find(s->method)->foreign)
        return;
    queue_request(s);
    enter_state(s, S5_SESSION_REPLY);
}

static int read_status(struct s5_session *s, struct s5_reader *r)
{
    int result = s5_auth_find(s->method)->read(s, r);
    if (result < 0)
        return result;
    queue_request(s);
    enter_state(s, S5_SESSION_REPLY);
    return 0;
}

/* Reads a reply or its beginning. A failing REP decides the error, even if the rest of the reply is malformed. */
static int read_reply(struct s5_session *s, const uint8_t *in, int n)
{
    int len = s5_wire_reply_len(in, (size_t)n);
    if (n >= 2 && in[0] == S5_WIRE_VER) {
        s->rep = in[1];
        s->have_rep = true;
        if (s->rep && (len < 0 || n >= len))
            return s5_reply_errno(s->rep);
    }
    if (len < 0)
        return len;
    s->in_want = (uint16_t)len;
    if (n < len)
        return -EAGAIN;
    int result = s5_wire_take_reply(in, (size_t)len, &s->rep, &s->bound);
    if (result < 0)
        return result;
    bool first = s->command == S5_BIND && s->state == S5_SESSION_REPLY;
    enter_state(s, first ? S5_SESSION_BOUND : S5_SESSION_DONE);
    return 0;
}

/* Reads one message from IN. Returns 0 (it was consumed), -EAGAIN (only a part of it is there), or the errno the
 * session fails with. */
static inline int read_message(struct s5_session *s)
{
    const uint8_t *in = s->in + s->in_at;
    int n = s->in_len - s->in_at;
    if (s->state >= S5_SESSION_REPLY)
        return read_reply(s, in, n);
    struct s5_reader r = s5_reader_init(in, (size_t)n);
    return s->state == S5_SESSION_METHOD ? read_selection(s, &r) : read_status(s, &r);
}

size_t s5_session_need(const struct s5_session *s)
{
    size_t now = s->in_want - (size_t)(s->in_len - s->in_at), reply = is_request_sent(s) ? S5_WIRE_REPLY_MIN : 0;
    switch (s->state) {
    case S5_SESSION_METHOD:
        if (!is_greeting_sent(s))
            return 0;
        return now + reply + (is_auth_sent(s) ? s5_auth_find(s->method)->answer_len : 0);
    case S5_SESSION_AUTH:
        return is_auth_sent(s) ? now + reply : 0;
    case S5_SESSION_REPLY:
    case S5_SESSION_REPLY2:
        return reply ? now : 0;
    default:
        return 0;
    }
}

int s5_session_feed(struct s5_session *s, const void *data, size_t n)
{
    if (n == 0 || n > s5_session_need(s))
        return -EINVAL;
    memcpy(s5_session_space(s), data, n);
    return s5_session_came(s, n);
}

int s5_session_came(struct s5_session *s, size_t n)
{
    int result;
    s->in_len = (uint16_t)(s->in_len + n);
    do
        result = read_message(s);
    while (result == 0 && s->in_len);
    return result == 0 || result == -EAGAIN ? 0 : fail_session(s, result);
}

/* --- end --- */

int s5_session_eof(struct s5_session *s)
{
    switch (s->state) {
    case S5_SESSION_BOUND:
    case S5_SESSION_DONE:
        return 0;
    case S5_SESSION_FAILED:
        return s->error;
    case S5_SESSION_AUTH:
        return fail_session(s, -EACCES);
    default:
        break;
    }
    if (s->have_rep)
        return fail_session(s, s->rep ? s5_reply_errno(s->rep) : -EPROTO);
    return fail_session(s, s->state == S5_SESSION_REPLY2 ? -ECONNABORTED : -ECONNREFUSED);
}

void s5_session_abort(struct s5_session *s, int error)
{
    if (s->state != S5_SESSION_DONE && s->state != S5_SESSION_FAILED)
        fail_session(s, error < 0 ? error : -ECONNABORTED);
}

void s5_session_next_reply(struct s5_session *s)
{
    if (s->state != S5_SESSION_BOUND)
        return;
    s->have_rep = false;
    s->rep = 0;
    enter_state(s, S5_SESSION_REPLY2);
}

const char *s5_session_phase(const struct s5_session *s)
{
    static const char *const names[] = {
        [S5_SESSION_METHOD] = "method selection",
        [S5_SESSION_AUTH] = "authentication",
        [S5_SESSION_REPLY] = "reply",
        [S5_SESSION_BOUND] = "bound",
        [S5_SESSION_REPLY2] = "second reply",
        [S5_SESSION_DONE] = "done",
    };
    static_assert(sizeof names / sizeof *names == S5_SESSION_FAILED, "a name for every state");
    unsigned state = s->state == S5_SESSION_FAILED ? s->failed_in : s->state;
    return state < S5_SESSION_FAILED ? names[state] : "failed";
}

void s5_session_wipe(struct s5_session *s)
{
    explicit_bzero(s, sizeof *s);
}
