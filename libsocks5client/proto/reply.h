/* The REP octet of a SOCKS5 reply (RFC 1928 section 6): its meaning and its errno, in one table. */
#ifndef S5_REPLY_H
#define S5_REPLY_H

#include <stdbool.h>
#include <stdint.h>

/* 0 for REP 00, else the negative errno the application sees; -EPROTO for unassigned values. */
int s5_reply_errno(uint8_t rep);

/* "connection refused", ...; "unassigned reply code" for unassigned values. Never NULL. */
const char *s5_reply_text(uint8_t rep);
/* What log lines say of a reply to something that failed: one that began well was not whole. */
const char *s5_reply_why(bool have, uint8_t rep);

#endif
