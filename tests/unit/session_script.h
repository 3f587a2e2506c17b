/* A scripted server for the tests of the session: exchanges, cut in every way, and their expected results. The
 * server's octets end where the application's would begin. The session may not need any beyond them. */
#ifndef SESSION_SCRIPT_H
#define SESSION_SCRIPT_H

#include "edge.h"
#include "reply.h"
#include "session.h"
#include <criterion/criterion.h>
#include <errno.h>

#define USER   "alice-the-user"
#define SECRET "correct horse battery staple"
#define V4     "\5\0\0\1\xc0\0\2\7\x1f\x90"
#define V4_LEN 10

static struct s5_addr dst = {.kind = S5_ADDR_IPV4, .port = 80, .octets = {192, 0, 2, 1}};
#define REQUEST     "\5\1\0\1\xc0\0\2\1\0\x50"
#define REQUEST_LEN 10

/* One scripted exchange. */
struct script {
    uint8_t offered[4];
    uint8_t n_offered;
    bool pipeline;
    uint8_t server[600]; /* selection, status if the method has one, reply, BIND's second reply */
    size_t len;
    size_t auth; /* octets of the status: 0 or 2 */
    enum s5_command command;
};

static inline struct s5_session_setup setup_of(const struct script *x)
{
    struct s5_session_setup setup = {
        .command = x->command,
        .dst = &dst,
        .n_methods = x->n_offered,
        .username = USER,
        .username_len = sizeof USER - 1,
        .password = SECRET,
        .password_len = sizeof SECRET - 1,
        .pipeline = x->pipeline,
    };
    memcpy(setup.methods, x->offered, 4);
    return setup;
}

static inline struct s5_session *started(const struct script *x)
{
    static struct s5_session s;
    memset(&s, 0xa5, sizeof s); /* memory that contained other data before */
    struct s5_session_setup setup = setup_of(x);
    cr_assert_eq(s5_session_start(&s, &setup), 0);
    return &s;
}

/* Returns an exchange that selects METHOD of those OFFERED ("\0\2" and so on) and ends with REPLY. */
static inline struct script script(const char *offered, size_t n, bool pipeline, uint8_t method,
                                   const void *reply, size_t reply_len)
{
    struct script x = {.n_offered = (uint8_t)n, .pipeline = pipeline, .command = S5_CONNECT};
    memcpy(x.offered, offered, n);
    x.server[x.len++] = 5;
    x.server[x.len++] = method;
    if (method == S5_METHOD_USERPASS) {
        x.server[x.len++] = 1;
        x.server[x.len++] = 0;
        x.auth = 2;
    }
    memcpy(x.server + x.len, reply, reply_len);
    x.len += reply_len;
    return x;
}

/* Writes everything that needs no answer, N octets at a time, to WIRE. */
static inline size_t flush(struct s5_session *s, uint8_t *wire, size_t used, size_t n)
{
    for (;;) {
        size_t left;
        const uint8_t *out = s5_session_out(s, &left);
        if (left == 0)
            return used;
        size_t part = left < n ? left : n;
        memcpy(wire + used, out, part);
        s5_session_sent(s, part);
        used += part;
    }
}

/* Runs to the end, or until the session needs octets that the server does not send. Returns the number of octets
 * taken. The first read has at most FIRST octets, the others CHUNK. */
static inline size_t run(struct s5_session *s, const struct script *x, size_t first, size_t chunk,
                         uint8_t *wire, size_t *ret_wire)
{
    size_t at = 0, used = 0;
    while (at < x->len) {
        used = flush(s, wire, used, chunk);
        if (s5_session_state(s) == S5_SESSION_BOUND)
            s5_session_next_reply(s);
        size_t need = s5_session_need(s), n = at ? chunk : first;
        if (need == 0)
            break;
        cr_assert(need <= x->len - at, "asks for %zu of the last %zu", need, x->len - at);
        n = n < need ? n : need;
        int r = s5_session_feed(s, edge_copy(x->server + at, n), n);
        cr_assert_eq(r, s5_session_error(s));
        at += n;
    }
    *ret_wire = flush(s, wire, used, chunk);
    return at;
}

static inline size_t negotiation(uint8_t *want, const struct script *x)
{
    size_t n = 0;
    want[n++] = 5;
    want[n++] = x->n_offered;
    memcpy(want + n, x->offered, x->n_offered);
    n += x->n_offered;
    if (x->auth) {
        want[n++] = 1;
        want[n++] = sizeof USER - 1;
        memcpy(want + n, USER, sizeof USER - 1);
        n += sizeof USER - 1;
        want[n++] = sizeof SECRET - 1;
        memcpy(want + n, SECRET, sizeof SECRET - 1);
        n += sizeof SECRET - 1;
    }
    memcpy(want + n, REQUEST, REQUEST_LEN);
    want[n + 1] = (uint8_t)x->command;
    return n + REQUEST_LEN;
}

/* X succeeds with the bound address BND, however it is cut. */
static inline void expect_done(const struct script *x, const char *bnd)
{
    uint8_t wire[1024], want[1024];
    size_t want_len = negotiation(want, x), used;
    for (size_t first = 1; first <= x->len; first++)
        for (size_t chunk = 1; chunk <= x->len; chunk += chunk < 24 ? 1 : 97) {
            struct s5_session *s = started(x);
            cr_assert_eq(run(s, x, first, chunk, wire, &used), x->len);
            cr_assert_eq(s5_session_state(s), S5_SESSION_DONE, "%zu then %zu: in %s", first, chunk,
                         s5_session_phase(s));
            cr_assert_eq(s5_session_need(s), 0);
            cr_assert_eq(used, want_len);
            cr_assert_eq(memcmp(wire, want, want_len), 0);
            char text[S5_ADDR_TEXT_MAX];
            cr_assert_str_eq(s5_addr_format(s5_session_bound(s), text, sizeof text), bnd);
        }
}

static const struct {
    const char *offered;
    uint8_t n, method;
} offers[] = {
    {"\0", 1, 0},   {"\2", 1, 2},   {"\0\2", 2, 0},     {"\0\2", 2, 2},
    {"\2\0", 2, 0}, {"\2\0", 2, 2}, {"\2\0\2\0", 4, 2}, {"\0\0\0\0", 4, 0},
};
#define OFFERS (sizeof offers / sizeof *offers)

#define EACH_OFFER(x, reply, reply_len)                                                            \
    for (size_t o_ = 0; o_ < 2 * OFFERS; o_++)                                                     \
        for (struct script x = script(offers[o_ / 2].offered, offers[o_ / 2].n, o_ % 2,            \
                                      offers[o_ / 2].method, reply, reply_len),                    \
                           *once_ = &x;                                                            \
             once_; once_ = NULL)

static inline void expect_out(struct s5_session *s, const void *want, size_t n)
{
    size_t left;
    const uint8_t *out = s5_session_out(s, &left);
    cr_assert_eq(left, n, "%zu octets to write", left);
    cr_assert_eq(memcmp(out, want, n), 0);
    s5_session_sent(s, left);
    s5_session_out(s, &left);
    cr_assert_eq(left, 0);
}

#define SUB     "\1\x0e" USER "\x1c" SECRET
#define SUB_LEN (sizeof SUB - 1)

#endif
