/* Authentication methods, one row each: what a method requires of the setup, what it sends and how it reads the
 * answer. The session works through the row and contains no code for a particular method. */
#ifndef S5_AUTH_H
#define S5_AUTH_H

#include "bytes.h"
#include "session.h"

struct s5_auth {
    /* Octets of the answer. 0: a method without a sub-negotiation; WRITE and READ are never called. */
    uint8_t answer_len;
    /* Another state machine (gss_link.h) carries out the sub-negotiation. The session waits in AUTH, with nothing
     * to write or read, until s5_session_authenticated(). */
    bool foreign;
    /* Returns 0, or -EINVAL if SETUP lacks what the method needs. NULL: it needs nothing. */
    int (*check)(const struct s5_session_setup *setup);
    /* Copies into S what WRITE will need. NULL: nothing. */
    void (*keep)(struct s5_session *s, const struct s5_session_setup *setup);
    void (*write)(const struct s5_session *s, struct s5_writer *w);
    /* Like the readers of wire.h; additionally -EACCES: the server refused. */
    int (*read)(struct s5_session *s, struct s5_reader *r);
};

/* The row of METHOD; NULL for a method this library does not implement. */
const struct s5_auth *s5_auth_find(uint8_t method);

#endif
