/* GSSAPI for users of the library: the context of a session, and the seal that a session ends with. The session owns
 * the context until socks5_session_seal() moves it to the seal. */
#include "client.h"
#include "dial.h"
#include "export.h"
#include "gss.h"
#include "gss_frame.h"
#include "public_session.h"
#include "seal.h"
#include "socks5client_gssapi.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- the session --- */

S5_EXPORT int socks5_session_gssapi(struct socks5_session *session, const struct socks5_gssapi *gssapi)
{
    struct s5_gss_fault fault;
    if (gssapi->size != sizeof *gssapi || session->started || session->gss || !gssapi->host || !*gssapi->host ||
        strlen(gssapi->host) > 255 || gssapi->protection < SOCKS5_CLEAR ||
        gssapi->protection > SOCKS5_CONFIDENTIALITY || (gssapi->service && strlen(gssapi->service) > 255))
        return -EINVAL;
    struct s5_gss_target target = {
        .service = gssapi->service ? gssapi->service : "rcmd", .host = gssapi->host, .delegate = gssapi->delegate != 0};
    struct s5_gss_buffers *buffers = malloc(sizeof *buffers);
    if (!buffers)
        return -ENOMEM;
    int result = s5_gss_new(&session->gss, &target, &fault);
    if (result < 0) {
        free(buffers);
        return result;
    }
    session->buffers = buffers;
    session->gssapi =
        (struct s5_gss_setup){&s5_gss_provider, session->gss, buffers, (uint8_t)gssapi->protection, gssapi->nec != 0};
    return 0;
}

S5_EXPORT const char *socks5_session_why(const struct socks5_session *session)
{
    return session->gss ? s5_gss_why(session->gss) : "";
}

S5_EXPORT const void *socks5_session_surplus(const struct socks5_session *session, size_t *ret_len)
{
    *ret_len = 0;
    return socks5_session_state(session) == SOCKS5_STATE_DONE ? s5_gss_link_surplus(&session->machine, ret_len) : NULL;
}

/* --- the negotiation, blocking --- */

S5_EXPORT int socks5_session_run(struct socks5_session *session, int fd, int timeout_ms)
{
    struct s5_client c = {.link = &session->machine, .fd = fd};
    return session->started ? s5_client_run(&c, s5_dial_until(timeout_ms)) : -EINVAL;
}

/* --- the seal --- */

S5_EXPORT struct socks5_seal *socks5_session_seal(struct socks5_session *session)
{
    if (socks5_session_state(session) != SOCKS5_STATE_DONE || !session->gss ||
        s5_gss_link_level(&session->machine) == S5_SEAL_CLEAR)
        return NULL;
    struct socks5_seal *seal = malloc(sizeof *seal);
    if (!seal)
        return NULL;
    seal->seal = *s5_gss_link_seal(&session->machine);
    seal->gss = session->gss;
    session->gss = NULL;
    session->gssapi.provider = NULL;
    return seal;
}

S5_EXPORT void socks5_seal_free(struct socks5_seal *seal)
{
    if (seal)
        s5_gss_free(seal->gss);
    free(seal);
}

S5_EXPORT size_t socks5_seal_most(const struct socks5_seal *seal)
{
    return s5_seal_most(&seal->seal);
}

S5_EXPORT ssize_t socks5_seal_wrap(struct socks5_seal *seal, const void *data, size_t n, void *out, size_t size)
{
    if (n < 1 || n > S5_GSS_TOKEN_MAX)
        return -EINVAL;
    return s5_seal_wrap(&seal->seal, data, n, out, size);
}

S5_EXPORT ssize_t socks5_seal_unwrap(struct socks5_seal *seal, const void *in, size_t n, void *out, size_t size,
                                     size_t *ret_used)
{
    int len = s5_gss_frame_len(in, n, S5_GSS_DATA);
    if (len < 0)
        return -EPROTO;
    if (len == 0 || (size_t)len > n)
        return -EAGAIN;
    int result = s5_seal_unwrap(&seal->seal, in, (size_t)len, out, size);
    if (result >= 0)
        *ret_used = (size_t)len;
    return result;
}

S5_EXPORT ssize_t socks5_seal_unwrap_datagram(struct socks5_seal *seal, const void *in, size_t n, void *out,
                                              size_t size)
{
    return s5_seal_unwrap_datagram(&seal->seal, in, n, out, size);
}
