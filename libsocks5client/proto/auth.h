/* Authentication methods, one row each: what a method wants of the set-up, what it sends, and what
 * its answer means. The session asks the row and knows no method by itself. */
#ifndef S5_AUTH_H
#define S5_AUTH_H

#include "bytes.h"
#include "session.h"

struct s5_auth {
    /* Octets of the answer; 0 for a method without a sub-negotiation, whose WRITE and READ are
     * never called. */
    uint8_t answer_len;
    /* The sub-negotiation is another machine's (gss_link.h): the session stands still in AUTH, with
     * nothing to write or read, until s5_session_authenticated(). */
    bool foreign;
    /* 0, or -EINVAL: the set-up lacks what the method needs. NULL: it needs nothing. */
    int (*check)(const struct s5_session_setup *setup);
    /* Copies into S what WRITE will need. NULL: nothing. */
    void (*keep)(struct s5_session *s, const struct s5_session_setup *setup);
    void (*write)(const struct s5_session *s, struct s5_writer *w);
    /* As the readers of wire.h, and -EACCES: refused. */
    int (*read)(struct s5_session *s, struct s5_reader *r);
};

/* NULL for a method this library does not speak. */
const struct s5_auth *s5_auth_find(uint8_t method);

#endif
