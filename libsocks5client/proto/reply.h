/* The REP octet of a SOCKS5 reply (RFC 1928 section 6): its meaning and its errno, in one table. */
#ifndef S5_REPLY_H
#define S5_REPLY_H

#include <stdbool.h>
#include <stdint.h>

/* 0 for REP 00, else the negative errno that the application gets; -EPROTO for unassigned values. */
int s5_reply_errno(uint8_t rep);

/* "connection refused", ...; "unassigned reply code" for unassigned values. Never NULL. Static storage. */
const char *s5_reply_text(uint8_t rep);
/* Text for log lines about a request that failed. HAVE: a REP arrived. REP 00 then means that the reply began with
 * success but was malformed or incomplete. */
const char *s5_reply_why(bool have, uint8_t rep);

/* --- replies of the bridge ---
 *
 * The bridge of a process tree (tools/bridge) replies in place of its server. Three bits of REP say whether the server
 * is the cause of a failure; the others are the REP for the program. An engine believes them only of that bridge. */
enum s5_reply_mark {
    S5_REPLY_PLAIN = 0,         /* no mark: the target is the cause, or the server has replied */
    S5_REPLY_DOWN = 0xa0,       /* the server was not reached, did not answer, or has refused the user */
    S5_REPLY_UNSUITABLE = 0xc0, /* the server cannot do this */
    S5_REPLY_CLOSED = 0xe0,     /* the server closed the connection in place of a reply */
};
#define S5_REPLY_UNASSIGNED 0x80 /* a REP that means EPROTO */

/* mark: returns REP with MARK. unmark: returns the mark of *REP and removes it. */
uint8_t s5_reply_mark(uint8_t rep, enum s5_reply_mark mark);
enum s5_reply_mark s5_reply_unmark(uint8_t *rep);

#endif
