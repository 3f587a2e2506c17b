/* The link receives one message at a time into buffers->in, exactly as long as its header says, and processes it when
 * it is complete. It never reads an octet that follows the negotiation, which matters where level CLEAR is
 * negotiated. Outgoing messages are also built one at a time. */
#include "gss_link.h"
#include "gss_frame.h"
#include "seal.h"
#include <errno.h>

static int fail_link(struct s5_gss_link *l, int error)
{
    l->out_len = l->out_sent = 0;
    s5_session_abort(&l->session, error);
    return s5_session_error(&l->session);
}

static uint8_t *get_token_buffer(struct s5_gss_link *l)
{
    return l->setup.buffers->out + S5_GSS_HEAD;
}

static void queue_message(struct s5_gss_link *l, enum s5_gss_mtyp mtyp, size_t token_len)
{
    s5_gss_frame_head(l->setup.buffers->out, mtyp, token_len);
    l->out_len = (uint32_t)(S5_GSS_HEAD + token_len);
    l->out_sent = 0;
}

static void enter_state(struct s5_gss_link *l, enum s5_gss_link_state state)
{
    l->state = (uint8_t)state;
    l->in_len = 0;
    l->in_want = S5_GSS_HEAD;
}

/* --- the steps of the negotiation --- */

static int request_level(struct s5_gss_link *l)
{
    const struct s5_gss_setup *g = &l->setup;
    int len = 1;
    if (g->nec)
        *get_token_buffer(l) = g->level;
    else
        len = g->provider->wrap(g->context, false, &g->level, 1, get_token_buffer(l), S5_GSS_TOKEN_MAX);
    if (len <= 0)
        return fail_link(l, len < 0 ? len : -EACCES);
    queue_message(l, S5_GSS_LEVEL, (size_t)len);
    enter_state(l, S5_GSS_LINK_LEVEL);
    return 0;
}

/* Advances the context. IN is the server's token, NULL in the first step. The client's last token is sent before
 * the level. */
static int step_context(struct s5_gss_link *l, const uint8_t *in, size_t n)
{
    const struct s5_gss_setup *g = &l->setup;
    size_t len = 0;
    int done = g->provider->step(g->context, in, n, get_token_buffer(l), S5_GSS_TOKEN_MAX, &len);
    if (done < 0)
        return fail_link(l, done);
    if (!done && !len)
        return fail_link(l, -EPROTO); /* both sides would wait for the other */
    l->established = done;
    enter_state(l, S5_GSS_LINK_TOKENS);
    if (len)
        queue_message(l, S5_GSS_CONTEXT, len);
    return done && !len ? request_level(l) : 0;
}

static int read_level(struct s5_gss_link *l, const uint8_t *token, size_t n)
{
    const struct s5_gss_setup *g = &l->setup;
    uint8_t level[8] = {0};
    unsigned flags;
    int len = (int)n;
    if (g->nec)
        level[0] = token[0];
    else
        len = g->provider->unwrap(g->context, token, n, level, sizeof level, &flags);
    if (len != 1)
        return fail_link(l, -EPROTO);
    if (level[0] > S5_SEAL_CONFIDENTIALITY || level[0] < g->level)
        return fail_link(l, -EACCES);
    l->level = level[0];
    l->seal = (struct s5_seal){g->provider, g->context, l->level};
    s5_session_authenticated(&l->session);
    enter_state(l, l->level == S5_SEAL_CLEAR ? S5_GSS_LINK_SESSION : S5_GSS_LINK_SEALED);
    return 0;
}

/* Feeds as many of the unwrapped octets as the session needs. */
static int feed_session(struct s5_gss_link *l)
{
    int result = 0;
    while (result == 0 && l->rest_len) {
        size_t n = s5_session_need(&l->session);
        if (n > l->rest_len)
            n = l->rest_len;
        if (n == 0)
            break;
        result = s5_session_feed(&l->session, l->setup.buffers->in + l->rest_at, n);
        l->rest_at += (uint32_t)n;
        l->rest_len -= (uint32_t)n;
    }
    return result;
}

/* Surplus octets that answer a request not sent yet remain in the buffer and are never read. */
static int read_data(struct s5_gss_link *l)
{
    uint8_t *in = l->setup.buffers->in;
    int len = s5_seal_unwrap(&l->seal, in, l->in_len, in, S5_GSS_MESSAGE_MAX);
    if (len < 0)
        return fail_link(l, len);
    enter_state(l, S5_GSS_LINK_SEALED);
    l->rest_at = 0;
    l->rest_len = (uint32_t)len;
    return feed_session(l);
}

/* Processes the complete message in buffers->in. */
static int process_message(struct s5_gss_link *l)
{
    const uint8_t *token = l->setup.buffers->in + S5_GSS_HEAD;
    size_t n = l->in_len - S5_GSS_HEAD;
    switch (l->state) {
    case S5_GSS_LINK_TOKENS:
        return step_context(l, token, n);
    case S5_GSS_LINK_LEVEL:
        return read_level(l, token, n);
    default:
        return read_data(l);
    }
}

/* Seals the session's output, if there is any and no message is being sent. */
static int seal_output(struct s5_gss_link *l)
{
    size_t n;
    const uint8_t *data = s5_session_out(&l->session, &n);
    if (l->state != S5_GSS_LINK_SEALED || l->out_len || !n)
        return 0;
    int len = s5_seal_wrap(&l->seal, data, n, l->setup.buffers->out, S5_GSS_MESSAGE_MAX);
    if (len < 0)
        return fail_link(l, len);
    l->out_len = (uint32_t)len;
    l->out_sent = 0;
    s5_session_sent(&l->session, n);
    return 0;
}

/* --- the functions of the link --- */

int s5_gss_link_start(struct s5_gss_link *l, const struct s5_session_setup *setup, const struct s5_gss_setup *gss)
{
    struct s5_session_setup own = *setup;
    own.gssapi = gss && gss->provider;
    int result = s5_session_start(&l->session, &own);
    if (result < 0)
        return result;
    l->setup = own.gssapi ? *gss : (struct s5_gss_setup){.provider = NULL};
    l->seal = (struct s5_seal){.provider = NULL};
    l->level = S5_SEAL_CLEAR;
    l->established = false;
    l->out_len = l->out_sent = l->rest_at = l->rest_len = 0;
    enter_state(l, S5_GSS_LINK_SESSION);
    return 0;
}

const uint8_t *s5_gss_link_out(const struct s5_gss_link *l, size_t *ret_len)
{
    if (l->state == S5_GSS_LINK_SESSION)
        return s5_session_out(&l->session, ret_len);
    *ret_len = l->out_len - l->out_sent;
    return l->setup.buffers->out + l->out_sent;
}

void s5_gss_link_sent(struct s5_gss_link *l, size_t n)
{
    if (l->state == S5_GSS_LINK_SESSION) {
        s5_session_sent(&l->session, n);
        return;
    }
    size_t left = l->out_len - l->out_sent;
    l->out_sent += (uint32_t)(n < left ? n : left);
    if (l->out_sent < l->out_len || !l->out_len)
        return;
    l->out_len = l->out_sent = 0;
    if (l->state == S5_GSS_LINK_TOKENS && l->established)
        request_level(l);
}

size_t s5_gss_link_need(const struct s5_gss_link *l)
{
    if (l->state == S5_GSS_LINK_SESSION)
        return s5_session_need(&l->session);
    enum s5_session_state state = s5_session_state(&l->session);
    if (l->out_len || state == S5_SESSION_FAILED || state == S5_SESSION_DONE || state == S5_SESSION_BOUND)
        return 0;
    return l->in_want - l->in_len;
}

/* Receives N octets (one or more) of the current message. N does not exceed what the message needs. */
static int feed_message(struct s5_gss_link *l, const void *data, size_t n)
{
    static const enum s5_gss_mtyp awaited[] = {
        [S5_GSS_LINK_TOKENS] = S5_GSS_CONTEXT,
        [S5_GSS_LINK_LEVEL] = S5_GSS_LEVEL,
        [S5_GSS_LINK_SEALED] = S5_GSS_DATA,
    };
    uint8_t *in = l->setup.buffers->in;
    memcpy(in + l->in_len, data, n);
    l->in_len += (uint32_t)n;
    int len = s5_gss_frame_len(in, l->in_len, awaited[l->state]);
    if (len < 0)
        return fail_link(l, len);
    if (len > 0)
        l->in_want = (uint32_t)len;
    if (len == 0 || (size_t)len > l->in_len)
        return 0;
    int result = process_message(l);
    return result < 0 ? result : seal_output(l);
}

int s5_gss_link_feed(struct s5_gss_link *l, const void *data, size_t n)
{
    if (n == 0 || n > s5_gss_link_need(l))
        return -EINVAL;
    if (l->state != S5_GSS_LINK_SESSION)
        return feed_message(l, data, n);
    int result = s5_session_feed(&l->session, data, n);
    if (result == 0 && l->setup.provider && l->session.state == S5_SESSION_AUTH &&
        l->session.method == S5_METHOD_GSSAPI)
        return step_context(l, NULL, 0);
    return result;
}

int s5_gss_link_eof(struct s5_gss_link *l)
{
    l->out_len = l->out_sent = 0;
    return s5_session_eof(&l->session);
}

void s5_gss_link_next_reply(struct s5_gss_link *l)
{
    s5_session_next_reply(&l->session);
    if (l->state == S5_GSS_LINK_SEALED)
        feed_session(l);
}

const char *s5_gss_link_phase(const struct s5_gss_link *l)
{
    if (l->state == S5_GSS_LINK_TOKENS)
        return "security context";
    if (l->state == S5_GSS_LINK_LEVEL)
        return "protection level";
    return s5_session_phase(&l->session);
}
