/* Every way in which a negotiation can fail, at every octet where it can. */
#include "session_script.h"

/* X must fail with ERROR in PHASE, however it is cut, as soon as its first SOON octets have been received. */
static void expect_failed(const struct script *x, int error, size_t soon, const char *phase)
{
    uint8_t wire[1024];
    size_t used;
    for (size_t chunk = 1; chunk <= x->len; chunk++) {
        struct s5_session *s = started(x);
        size_t taken = run(s, x, chunk, chunk, wire, &used);
        cr_assert_eq(s5_session_state(s), S5_SESSION_FAILED);
        cr_assert_eq(s5_session_error(s), error, "%d", s5_session_error(s));
        cr_assert_str_eq(s5_session_phase(s), phase);
        cr_assert_eq(s5_session_need(s), 0);
        cr_assert_eq(flush(s, wire, 0, 1), 0, "nothing to write any more");
        if (chunk == 1)
            cr_assert_eq(taken, soon, "after %zu octets", taken);
    }
}

Test(session_faults, every_wrong_ver)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (unsigned ver = 0; ver < 256; ver++) {
        struct script bad = x;
        bad.server[0] = (uint8_t)ver;
        if (ver != 5)
            expect_failed(&bad, -EPROTO, 1, "method selection");
        bad = x;
        bad.server[2] = (uint8_t)ver;
        if (x.auth && ver != 1 && ver != 5)
            expect_failed(&bad, -EPROTO, 3, "authentication");
        bad = x;
        bad.server[2 + x.auth] = (uint8_t)ver;
        if (ver != 5)
            expect_failed(&bad, -EPROTO, 3 + x.auth, "reply");
    }
}

Test(session_faults, every_selection)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (unsigned method = 0; method < 256; method++) {
        struct script bad = x;
        bad.server[1] = (uint8_t)method;
        if (!memchr(x.offered, (int)method, x.n_offered))
            expect_failed(&bad, method == 0xff ? -EACCES : -EPROTO, 2, "method selection");
    }
}

Test(session_faults, every_status)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (unsigned status = 1; x.auth && status < 256; status++) {
        struct script bad = x;
        bad.server[3] = (uint8_t)status;
        expect_failed(&bad, -EACCES, 4, "authentication");
        bad.server[2] = 5;
        expect_failed(&bad, -EACCES, 4, "authentication");
    }
}

Test(session_faults, a_status_with_the_other_version_is_accepted_and_recorded)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (uint8_t ver = 1; x.auth && ver <= 5; ver += 4) {
        x.server[2] = ver;
        expect_done(&x, "192.0.2.7:8080");
        uint8_t wire[256];
        size_t used;
        struct s5_session *s = started(&x);
        run(s, &x, 99, 99, wire, &used);
        cr_assert_eq(s->auth_odd, ver == 5);
    }
}

Test(session_faults, every_rep_with_every_kind_of_bnd)
{
    static const char *const replies[] = {V4, "\5\0\0\3\2ab\0\1", "\5\0\0\3\0\0\1",
                                          "\5\0\0\4pppppppppppppppp\0\1", "\5\0\0\3\2a\0\0\1"};
    static const size_t lens[] = {V4_LEN, 9, 7, 22, 9};
    for (size_t i = 0; i < 5; i++)
        EACH_OFFER(x, replies[i], lens[i])
    for (unsigned rep = 1; rep < 256; rep++) {
        struct script bad = x;
        bad.server[2 + x.auth + 1] = (uint8_t)rep;
        if (rep < 12 || rep > 0xee || o_ < 2)
            expect_failed(&bad, s5_reply_errno((uint8_t)rep), x.len, "reply");
    }
    struct script x = script("\0", 1, true, 0, V4, V4_LEN);
    x.server[3] = 5;
    expect_failed(&x, -ECONNREFUSED, 12, "reply");
}

Test(session_faults, every_atyp)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (unsigned atyp = 0; atyp < 256; atyp++) {
        struct script bad = x;
        if (atyp == 1 || atyp == 3 || atyp == 4)
            continue;
        bad.server[2 + x.auth + 3] = (uint8_t)atyp;
        expect_failed(&bad, -EPROTO, 2 + x.auth + 4, "reply");
        bad.server[2 + x.auth + 1] = 4; /* a failing REP takes precedence */
        expect_failed(&bad, -EHOSTUNREACH, 2 + x.auth + 4, "reply");
    }
}

Test(session_faults, a_nul_within_a_name_is_malformed)
{
    struct script x = script("\0", 1, true, 0, "\5\0\0\3\2a\0\0\1", 9);
    expect_failed(&x, -EPROTO, x.len, "reply");
}

/* The file ends after each octet of an exchange whose reply contains REP. */
static void expect_at_eof(const struct script *x, uint8_t rep)
{
    size_t reply = 2 + x->auth;
    for (size_t taken = 0; taken < x->len; taken++) {
        struct script part = *x;
        part.server[reply + 1] = rep;
        uint8_t wire[256];
        struct s5_session *s = started(x);
        for (size_t at = 0; at < taken; at++) {
            flush(s, wire, 0, 999);
            cr_assert_eq(s5_session_feed(s, part.server + at, 1), 0);
        }
        int want = taken < 2           ? -ECONNREFUSED
                   : taken < reply     ? -EACCES
                   : taken < reply + 2 ? -ECONNREFUSED
                   : rep               ? s5_reply_errno(rep)
                                       : -EPROTO;
        cr_assert_eq(s5_session_eof(s), want, "after %zu", taken);
        cr_assert_eq(s5_session_state(s), S5_SESSION_FAILED);
        cr_assert_eq(s5_session_error(s), want);
        cr_assert_str_eq(s5_session_phase(s), taken < 2       ? "method selection"
                                              : taken < reply ? "authentication"
                                                              : "reply");
    }
}

Test(session_faults, end_of_file_after_every_octet)
{
    EACH_OFFER(x, V4, V4_LEN)
    {
        expect_at_eof(&x, 0);
        expect_at_eof(&x, 5);
        expect_at_eof(&x, 2);
        expect_at_eof(&x, 0x99);
    }
}

Test(session_faults, end_of_file_within_the_second_reply)
{
    for (size_t taken = 0; taken < V4_LEN; taken++)
        for (uint8_t rep = 0; rep <= 9; rep += 3) {
            struct script x = script("\0", 1, true, 0, V4 V4, 2 * V4_LEN);
            x.command = S5_BIND;
            x.server[2 + V4_LEN + 1] = rep;
            uint8_t wire[256];
            struct s5_session *s = started(&x);
            flush(s, wire, 0, 999);
            for (size_t at = 0; at < 2 + V4_LEN + taken; at++) {
                s5_session_next_reply(s);
                cr_assert_eq(s5_session_feed(s, x.server + at, 1), 0);
            }
            s5_session_next_reply(s);
            cr_assert_eq(s5_session_eof(s), taken < 2 ? -ECONNABORTED
                                            : rep     ? s5_reply_errno(rep)
                                                      : -EPROTO);
            cr_assert_str_eq(s5_session_phase(s), "second reply");
        }
}

static void expect_unmoved(struct s5_session *s)
{
    struct s5_session before = *s;
    size_t left;
    s5_session_next_reply(s);
    s5_session_sent(s, 10);
    s5_session_abort(s, -EIO);
    cr_expect_eq(s5_session_eof(s), before.error);
    cr_expect_eq(s5_session_feed(s, "\5", 1), -EINVAL);
    cr_expect_eq(s5_session_need(s), 0);
    s5_session_out(s, &left);
    cr_expect_eq(left, 0);
    cr_expect_eq(memcmp(s, &before, sizeof before), 0);
}

Test(session_faults, a_final_state_does_not_change)
{
    uint8_t wire[256];
    size_t used;
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    run(s, &x, 99, 99, wire, &used);
    cr_assert_eq(s5_session_state(s), S5_SESSION_DONE);
    expect_unmoved(s);
    s = started(&x);
    s5_session_abort(s, -ETIMEDOUT);
    cr_assert_eq(s5_session_error(s), -ETIMEDOUT);
    expect_unmoved(s);
    s = started(&x);
    s5_session_eof(s);
    expect_unmoved(s);
}

Test(session_faults, aborted_in_every_state)
{
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    x.command = S5_BIND;
    for (size_t taken = 0; taken <= x.len; taken++) {
        uint8_t wire[256];
        struct s5_session *s = started(&x);
        flush(s, wire, 0, 999);
        for (size_t at = 0; at < taken; at++)
            cr_assert_eq(s5_session_feed(s, x.server + at, 1), 0);
        s5_session_abort(s, -ECANCELED);
        cr_assert_eq(s5_session_state(s), S5_SESSION_FAILED);
        cr_assert_eq(s5_session_error(s), -ECANCELED);
    }
    struct s5_session *s = started(&x);
    s5_session_abort(s, 0);
    cr_assert(s5_session_error(s) < 0, "FAILED always has an error");
}
