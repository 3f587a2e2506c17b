/* All reply codes of RFC 1928, and all other values. */
#include "reply.h"
#include <criterion/criterion.h>
#include <errno.h>

static const struct {
    uint8_t rep;
    int error;
    const char *text;
} assigned[] = {
    {0x00, 0, "succeeded"},
    {0x01, -ECONNABORTED, "general server failure"},
    {0x02, -EACCES, "not allowed by ruleset"},
    {0x03, -ENETUNREACH, "network unreachable"},
    {0x04, -EHOSTUNREACH, "host unreachable"},
    {0x05, -ECONNREFUSED, "connection refused"},
    {0x06, -ETIMEDOUT, "TTL expired"},
    {0x07, -EOPNOTSUPP, "command not supported"},
    {0x08, -EAFNOSUPPORT, "address type not supported"},
};

Test(reply, assigned_values_have_their_errno_and_text)
{
    for (size_t i = 0; i < sizeof assigned / sizeof *assigned; i++) {
        cr_expect_eq(s5_reply_errno(assigned[i].rep), assigned[i].error);
        cr_expect_str_eq(s5_reply_text(assigned[i].rep), assigned[i].text);
    }
}

Test(reply, all_others_are_unassigned)
{
    for (unsigned rep = 9; rep <= 0xff; rep++) {
        cr_expect_eq(s5_reply_errno((uint8_t)rep), -EPROTO);
        cr_expect_str_eq(s5_reply_text((uint8_t)rep), "unassigned reply code");
    }
}

/* What the bridge marks is the engine's again without the mark; what RFC 1928 does not assign has no mark. */
Test(reply, marks)
{
    static const enum s5_reply_mark marks[] = {S5_REPLY_PLAIN, S5_REPLY_DOWN, S5_REPLY_UNSUITABLE, S5_REPLY_CLOSED};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (unsigned rep = 1; rep <= 0xff; rep++) {
            uint8_t marked = s5_reply_mark((uint8_t)rep, marks[i]), bare = marked;
            cr_expect_eq(s5_reply_unmark(&bare), marks[i], "%u", rep);
            cr_expect_eq(s5_reply_errno(bare), s5_reply_errno((uint8_t)rep), "%u", rep);
            if (marks[i])
                cr_expect_eq(s5_reply_errno(marked), -EPROTO, "without the bridge it means nothing");
        }
    for (unsigned rep = 0; rep < 0xa0; rep++) {
        uint8_t bare = (uint8_t)rep;
        cr_expect(s5_reply_unmark(&bare) == S5_REPLY_PLAIN && bare == rep);
    }
    cr_expect_eq(s5_reply_mark(0, S5_REPLY_PLAIN), 0);
}
