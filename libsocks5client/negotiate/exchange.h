/* Transfers the octets of a negotiation without waiting: one write, one read, and what a close by the server means.
 * All code that carries out a negotiation uses it: step.c for programs, whose negotiations are shared by processes,
 * and client.c for everything else. */
#ifndef S5_EXCHANGE_H
#define S5_EXCHANGE_H

#include "gss_link.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

struct s5_exchange {
    struct s5_session *session;
    struct s5_gss_link *link; /* around SESSION; NULL: none */
    int fd;                   /* connected; blocking or non-blocking */
    int flags;                /* MSG_MORE: more follows at once; else 0 */
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*recv)(int, void *, size_t, int);
};

/* Returns the octets to write; *RET_LEFT is their number. */
static inline const uint8_t *s5_exchange_out(const struct s5_exchange *s, size_t *ret_left)
{
    return s->link ? s5_gss_link_out(s->link, ret_left) : s5_session_out(s->session, ret_left);
}

/* Writes the pending octets once. Returns the number of octets that the socket took; *RET_ALL: nothing is left to
 * write. -EAGAIN: nothing was written. -EPIPE: the server closed the connection, and may have sent the reason before.
 * Otherwise another -errno. */
static inline ssize_t s5_exchange_write(const struct s5_exchange *s, bool *ret_all)
{
    size_t left;
    const uint8_t *out = s5_exchange_out(s, &left);
    *ret_all = false;
    ssize_t n = s->send(s->fd, out, left, MSG_DONTWAIT | MSG_NOSIGNAL | s->flags);
    if (__builtin_expect(n < 0, 0))
        switch (errno) {
        case EAGAIN:
        case EINPROGRESS:
        case EALREADY:
        case EINTR:
            return -EAGAIN;
        case EPIPE:
        case ENOTCONN:
        case ECONNRESET:
            return -EPIPE;
        default:
            return -errno;
        }
    *ret_all = (size_t)n == left;
    if (s->link)
        s5_gss_link_sent(s->link, (size_t)n);
    else
        s5_session_sent(s->session, (size_t)n);
    return n;
}

/* The server sends nothing more, because it closed the connection or for the reason ERROR (a positive errno; 0: a
 * close). Returns the error of the negotiation. A failing reply that has already arrived takes precedence. */
static inline int s5_exchange_end(const struct s5_exchange *s, int error)
{
    int r = s->link ? s5_gss_link_eof(s->link) : s5_session_eof(s->session);
    if (error && error != ECONNRESET && !s->session->have_rep)
        return -error;
    return r < 0 ? r : -ECONNRESET;
}

/* Reads the awaited octets once to INTO, SPACE octets at most. Without a link INTO is s5_session_space(). 0: *RET_N
 * octets arrived; -EAGAIN: none arrived. Otherwise the error of the negotiation: caused by these octets or, if *RET_N
 * is 0, by a close or a reset. */
static inline int s5_exchange_read(const struct s5_exchange *s, void *into, size_t space, size_t *ret_n)
{
    size_t need = s->link ? s5_gss_link_need(s->link) : s5_session_need(s->session);
    *ret_n = 0;
    if (__builtin_expect(!need, 0))
        return -EAGAIN;
    ssize_t n = s->recv(s->fd, into, need < space ? need : space, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (__builtin_expect(n <= 0, 0))
        return s5_exchange_end(s, n < 0 ? errno : 0);
    *ret_n = (size_t)n;
    return s->link ? s5_gss_link_feed(s->link, into, (size_t)n) : s5_session_came(s->session, (size_t)n);
}

#endif
