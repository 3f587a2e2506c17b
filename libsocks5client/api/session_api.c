/* Theory of operation: a public session is an allocated state machine of proto/. This file only checks arguments and
 * translates states. The state machine is in proto/session.c. */
#include "addr.h"
#include "dial.h"
#include "export.h"
#include "gss.h"
#include "gss_link.h"
#include "public_session.h"
#include "reply.h"
#include "session.h"
#include "socks5client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

S5_EXPORT const char *socks5_version(void)
{
    return TEXT(SOCKS5_VERSION_MAJOR) "." TEXT(SOCKS5_VERSION_MINOR) "." TEXT(SOCKS5_VERSION_PATCH);
}

S5_EXPORT int socks5_reply_errno(unsigned rep)
{
    return rep <= UINT8_MAX ? s5_reply_errno((uint8_t)rep) : -EPROTO;
}

S5_EXPORT const char *socks5_reply_text(unsigned rep)
{
    return s5_reply_text(rep <= UINT8_MAX ? (uint8_t)rep : UINT8_MAX);
}

S5_EXPORT struct socks5_session *socks5_session_new(void)
{
    return calloc(1, sizeof(struct socks5_session));
}

S5_EXPORT void socks5_session_free(struct socks5_session *session)
{
    if (!session)
        return;
    s5_gss_free(session->gss);
    free(session->buffers);
    explicit_bzero(session, sizeof(*session));
    free(session);
}

/* Stores the destination of OPTIONS in RET. Returns 0 or -EINVAL. */
static int parse_host(struct s5_addr *ret, const struct socks5_options *options)
{
    if (!options->host) {
        *ret = (struct s5_addr){.kind = S5_ADDR_NONE, .port = options->port};
        return options->command == SOCKS5_CONNECT ? -EINVAL : 0;
    }
    return s5_addr_parse(ret, options->host, strlen(options->host), options->port);
}

static int copy_methods(struct s5_session_setup *setup, const struct socks5_options *options)
{
    if (!options->methods) {
        setup->methods[0] = options->username ? S5_METHOD_USERPASS : S5_METHOD_NONE;
        setup->n_methods = 1;
        return 0;
    }
    if (options->n_methods < 1 || options->n_methods > S5_SESSION_METHODS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < options->n_methods; i++) {
        if (options->methods[i] != S5_METHOD_NONE && options->methods[i] != S5_METHOD_USERPASS)
            return -EINVAL;
        setup->methods[i] = options->methods[i];
    }
    setup->n_methods = (uint8_t)options->n_methods;
    return 0;
}

static int copy_word(const char **ret, uint8_t *ret_len, const char *word)
{
    size_t len = word ? strlen(word) : 0;
    if (len > UINT8_MAX)
        return -EINVAL;
    *ret = word;
    *ret_len = (uint8_t)len;
    return 0;
}

/* Offers GSSAPI before the other methods, if socks5_session_gssapi() was called. Returns 0 or -EINVAL. */
static int offer_gssapi(const struct socks5_session *session, struct s5_session_setup *setup)
{
    if (!session->gssapi.provider)
        return 0;
    if (setup->n_methods == S5_SESSION_METHODS_MAX)
        return -EINVAL;
    memmove(setup->methods + 1, setup->methods, setup->n_methods);
    setup->methods[0] = S5_METHOD_GSSAPI;
    setup->n_methods++;
    setup->pipeline = false;
    return 0;
}

S5_EXPORT int socks5_session_start(struct socks5_session *session, const struct socks5_options *options)
{
    if (options->size != sizeof(*options) || options->command < SOCKS5_CONNECT ||
        options->command > SOCKS5_UDP_ASSOCIATE)
        return -EINVAL;
    struct s5_addr dst;
    struct s5_session_setup setup = {
        .command = (enum s5_command)options->command,
        .dst = &dst,
        .pipeline = options->pipeline != 0,
    };
    if (parse_host(&dst, options) < 0 || copy_methods(&setup, options) < 0 ||
        copy_word(&setup.username, &setup.username_len, options->username) < 0 ||
        copy_word(&setup.password, &setup.password_len, options->password) < 0)
        return -EINVAL;
    if (session->gssapi.provider && session->started)
        return -EINVAL; /* a GSSAPI context can be used only once */
    if (offer_gssapi(session, &setup) < 0)
        return -EINVAL;
    struct s5_gss_link machine;
    int result = s5_gss_link_start(&machine, &setup, &session->gssapi);
    if (result == 0) {
        session->machine = machine;
        session->started = true;
    }
    explicit_bzero(&machine, sizeof(machine));
    return result;
}

S5_EXPORT const void *socks5_session_out(const struct socks5_session *session, size_t *ret_len)
{
    *ret_len = 0;
    return session->started ? s5_gss_link_out(&session->machine, ret_len) : (const void *)"";
}

S5_EXPORT int socks5_session_sent(struct socks5_session *session, size_t n)
{
    size_t len;
    socks5_session_out(session, &len);
    if (n > len)
        return -EINVAL;
    if (n > 0)
        s5_gss_link_sent(&session->machine, n);
    return 0;
}

S5_EXPORT size_t socks5_session_need(const struct socks5_session *session)
{
    return session->started ? s5_gss_link_need(&session->machine) : 0;
}

S5_EXPORT int socks5_session_feed(struct socks5_session *session, const void *data, size_t n)
{
    if (n > socks5_session_need(session))
        return -EINVAL;
    return n > 0 ? s5_gss_link_feed(&session->machine, data, n) : 0;
}

S5_EXPORT int socks5_session_eof(struct socks5_session *session)
{
    return session->started ? s5_gss_link_eof(&session->machine) : 0;
}

S5_EXPORT int socks5_session_next_reply(struct socks5_session *session)
{
    if (socks5_session_state(session) != SOCKS5_STATE_BOUND)
        return -EINVAL;
    s5_gss_link_next_reply(&session->machine);
    return 0;
}

S5_EXPORT int socks5_session_state(const struct socks5_session *session)
{
    static const enum socks5_state states[] = {
        [S5_SESSION_METHOD] = SOCKS5_STATE_METHOD, [S5_SESSION_AUTH] = SOCKS5_STATE_AUTH,
        [S5_SESSION_REPLY] = SOCKS5_STATE_REPLY,   [S5_SESSION_BOUND] = SOCKS5_STATE_BOUND,
        [S5_SESSION_REPLY2] = SOCKS5_STATE_REPLY2, [S5_SESSION_DONE] = SOCKS5_STATE_DONE,
        [S5_SESSION_FAILED] = SOCKS5_STATE_FAILED,
    };
    return session->started ? (int)states[s5_gss_link_state(&session->machine)] : SOCKS5_STATE_IDLE;
}

S5_EXPORT int socks5_session_error(const struct socks5_session *session)
{
    return session->started ? s5_gss_link_error(&session->machine) : 0;
}

S5_EXPORT int socks5_session_bound(const struct socks5_session *session, char *host, size_t size, uint16_t *ret_port)
{
    int state = socks5_session_state(session);
    if (state != SOCKS5_STATE_BOUND && state != SOCKS5_STATE_REPLY2 && state != SOCKS5_STATE_DONE)
        return -ENODATA;
    return s5_dial_text(s5_session_bound(&session->machine.session), host, size, ret_port);
}

S5_EXPORT const char *socks5_session_phase(const struct socks5_session *session)
{
    return session->started ? s5_gss_link_phase(&session->machine) : "start";
}
