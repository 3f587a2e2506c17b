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
