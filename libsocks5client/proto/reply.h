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

#endif
