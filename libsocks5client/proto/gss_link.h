/* A session whose server may select GSSAPI (RFC 1961), as a state machine over octets with the contract of
 * session.h. The session's own greeting and answers pass through. If GSSAPI is selected, the link establishes the
 * context and negotiates the protection level. From then on the session's request and replies travel in sealed
 * messages.
 *
 * In state DONE, s5_gss_link_level() returns the protection of the stream. A CLEAR stream is the application's as
 * it is. Any other stream passes through s5_gss_link_seal(), beginning with the octets of s5_gss_link_surplus(),
 * which arrived in the message of the last reply. The link does not allocate: the owner provides the struct
 * s5_gss_buffers for the duration of the negotiation, surplus included. */
#ifndef S5_GSS_LINK_H
#define S5_GSS_LINK_H

#include "gss_frame.h"
#include "seal.h"
#include "session.h"

/* Buffers; only the used part of each is touched. */
struct s5_gss_buffers {
    uint8_t in[S5_GSS_MESSAGE_MAX];
    uint8_t out[S5_GSS_MESSAGE_MAX];
};

struct s5_gss_setup {
    const struct s5_gss_provider *provider; /* NULL: GSSAPI is not offered and the other fields are unused */
    void *context;                          /* the provider's, new; outlives the link and the seal */
    struct s5_gss_buffers *buffers;
    uint8_t level; /* enum s5_seal_level, requested; an answer below it is refused */
    bool nec;      /* the level octet is not wrapped, as NEC's servers do */
};

enum s5_gss_link_state {
    S5_GSS_LINK_SESSION, /* octets are the session's own: GSSAPI is not selected (yet), or level CLEAR was
                          * negotiated */
    S5_GSS_LINK_TOKENS,  /* the context is being established */
    S5_GSS_LINK_LEVEL,   /* the level was requested */
    S5_GSS_LINK_SEALED,  /* the session's octets travel in sealed messages */
};

struct s5_gss_link {
    struct s5_session session;
    struct s5_gss_setup setup;
    struct s5_seal seal; /* set when state LEVEL ends */
    uint8_t state;       /* enum s5_gss_link_state */
    uint8_t level;       /* enum s5_seal_level that was negotiated; CLEAR until then */
    bool established;    /* the provider's context is complete on the client's side */
    uint32_t in_len;     /* octets in room->in of the message being received */
    uint32_t in_want;    /* octets it needs at least */
    uint32_t out_len, out_sent;
    uint32_t rest_at, rest_len; /* in room->in: unwrapped octets the session has not read */
};

/* Like s5_session_start(). */
int s5_gss_link_start(struct s5_gss_link *l, const struct s5_session_setup *setup, const struct s5_gss_setup *gss);

/* Like the functions of the session with these names. */
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
/* Octets of the stream that arrived behind the last reply, in its message. */
static inline const uint8_t *s5_gss_link_surplus(const struct s5_gss_link *l, size_t *ret_len)
{
    *ret_len = l->rest_len;
    return l->rest_len ? l->setup.buffers->in + l->rest_at : NULL;
}

/* "security context", "protection level", or the session's phase. */
const char *s5_gss_link_phase(const struct s5_gss_link *l);

#endif
