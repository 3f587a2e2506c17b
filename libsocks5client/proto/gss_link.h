/* A session whose server may select GSSAPI (RFC 1961), as a machine over octets with the same
 * contract as session.h: the session's own greeting and answers pass through; where GSSAPI is
 * selected, the context is established and the protection level agreed upon here, and from then on
 * the session's request and replies travel in sealed messages.
 *
 * At the end, DONE, level() tells what the stream is from now on: CLEAR is the application's as
 * it is; anything else goes through seal(), beginning with the octets of surplus(), which came in
 * the last reply's message. No malloc; the room is lent by the owner for as long as the
 * negotiation takes (surplus included). */
#ifndef S5_GSS_LINK_H
#define S5_GSS_LINK_H

#include "gss_frame.h"
#include "seal.h"
#include "session.h"

/* Each touched only as far as it is used. */
struct s5_gss_room {
    uint8_t in[S5_GSS_MESSAGE_MAX];
    uint8_t out[S5_GSS_MESSAGE_MAX];
};

struct s5_gss_setup {
    const struct s5_gss_provider *provider; /* NULL: GSSAPI is not offered, the rest unused */
    void *context;                          /* the provider's, fresh; outlives the link and seal */
    struct s5_gss_room *room;
    uint8_t level; /* enum s5_seal_level: asked for; an answer below it is refused */
    bool nec;      /* the level octet is not wrapped: NEC's servers */
};

enum s5_gss_link_state {
    S5_GSS_LINK_SESSION, /* octets are the session's own: before GSSAPI is selected, without it,
                          * and after level CLEAR was agreed upon */
    S5_GSS_LINK_TOKENS,  /* the context is being established */
    S5_GSS_LINK_LEVEL,   /* the level was asked for */
    S5_GSS_LINK_SEALED,  /* the session's octets travel in sealed messages */
};

struct s5_gss_link {
    struct s5_session session;
    struct s5_gss_setup setup;
    struct s5_seal seal; /* set when LEVEL is over */
    uint8_t state;       /* enum s5_gss_link_state */
    uint8_t level;       /* enum s5_seal_level agreed upon; CLEAR until then */
    bool established;    /* the provider's context is complete on our side */
    uint32_t in_len;     /* octets in room->in of the message being received */
    uint32_t in_want;    /* octets it takes at least */
    uint32_t out_len, out_sent;
    uint32_t rest_at, rest_len; /* in room->in: unwrapped octets the session has not taken */
};

/* As s5_session_start. */
int s5_gss_link_start(struct s5_gss_link *l, const struct s5_session_setup *setup, const struct s5_gss_setup *gss);

/* As the session's functions of these names. */
const uint8_t *s5_gss_link_out(const struct s5_gss_link *l, size_t *ret_len);
void s5_gss_link_sent(struct s5_gss_link *l, size_t n);
size_t s5_gss_link_need(const struct s5_gss_link *l);
int s5_gss_link_feed(struct s5_gss_link *l, const void *data, size_t n);
int s5_gss_link_eof(struct s5_gss_link *l);
void s5_gss_link_next_reply(struct s5_gss_link *l);

static inline enum s5_session_state s5_gss_link_state(const struct s5_gss_link *l)
{
    return s5_session_state(&l->session);
}
static inline int s5_gss_link_error(const struct s5_gss_link *l)
{
    return s5_session_error(&l->session);
}
static inline enum s5_seal_level s5_gss_link_level(const struct s5_gss_link *l)
{
    return (enum s5_seal_level)l->level;
}
/* The seal of a DONE link whose level is not CLEAR. */
static inline const struct s5_seal *s5_gss_link_seal(const struct s5_gss_link *l)
{
    return &l->seal;
}
/* Octets of the stream that came behind the last reply, in its message. */
static inline const uint8_t *s5_gss_link_surplus(const struct s5_gss_link *l, size_t *ret_len)
{
    *ret_len = l->rest_len;
    return l->rest_len ? l->setup.room->in + l->rest_at : NULL;
}

/* "security context", "protection level", or the session's. */
const char *s5_gss_link_phase(const struct s5_gss_link *l);

#endif
