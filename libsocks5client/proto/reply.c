/* RFC 1928 section 6, one row per REP. Each errno is the one that the same failure of a direct connect() returns,
 * so that an application's error handling applies. */
#include "reply.h"
#include <errno.h>

static const struct {
    int error;
    const char *text;
} replies[] = {
    [0x00] = {0, "succeeded"},
    [0x01] = {-ECONNABORTED, "general server failure"},
    [0x02] = {-EACCES, "not allowed by ruleset"},
    [0x03] = {-ENETUNREACH, "network unreachable"},
    [0x04] = {-EHOSTUNREACH, "host unreachable"},
    [0x05] = {-ECONNREFUSED, "connection refused"},
    [0x06] = {-ETIMEDOUT, "TTL expired"},
    [0x07] = {-EOPNOTSUPP, "command not supported"},
    [0x08] = {-EAFNOSUPPORT, "address type not supported"},
};
#define ASSIGNED (sizeof replies / sizeof *replies)

int s5_reply_errno(uint8_t rep)
{
    return rep < ASSIGNED ? replies[rep].error : -EPROTO;
}

const char *s5_reply_text(uint8_t rep)
{
    return rep < ASSIGNED ? replies[rep].text : "unassigned reply code";
}

const char *s5_reply_why(bool have, uint8_t rep)
{
    if (!have)
        return "no reply";
    return rep ? s5_reply_text(rep) : "malformed reply";
}

/* --- replies of the bridge --- */

#define MARKS 0xe0

uint8_t s5_reply_mark(uint8_t rep, enum s5_reply_mark mark)
{
    if (mark == S5_REPLY_PLAIN)
        return rep < ASSIGNED ? rep : S5_REPLY_UNASSIGNED;
    return (uint8_t)(rep < ASSIGNED ? rep | mark : mark);
}

enum s5_reply_mark s5_reply_unmark(uint8_t *rep)
{
    uint8_t mark = *rep & MARKS, bare = (uint8_t)(*rep & ~MARKS);
    if (mark != S5_REPLY_DOWN && mark != S5_REPLY_UNSUITABLE && mark != S5_REPLY_CLOSED)
        return S5_REPLY_PLAIN;
    *rep = bare > 0 && bare < ASSIGNED ? bare : S5_REPLY_UNASSIGNED;
    return mark;
}
