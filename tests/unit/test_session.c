/* Negotiations that succeed: each exchange whole, at every cut and octet by octet; when octets are sent; when
 * octets are needed; and that passwords are erased after they are sent. */
#include "session_script.h"

Test(session, every_exchange_at_every_cut)
{
    EACH_OFFER(x, V4, V4_LEN)
    expect_done(&x, "192.0.2.7:8080");
    EACH_OFFER(x, "\5\0\0\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb", 22)
    expect_done(&x, "[2001:db8::1]:443");
    EACH_OFFER(x, "\5\0\x7f\3\6ex.org\x12\x34", 13)
    expect_done(&x, "ex.org:4660");
    EACH_OFFER(x, "\5\0\0\3\0\x12\x34", 7)
    expect_done(&x, "unknown:4660");
    EACH_OFFER(x, "\5\0\0\3\1x\0\1", 8)
    expect_done(&x, "x:1");
}

Test(session, a_name_of_255_octets_both_ways)
{
    uint8_t reply[262] = {5, 0, 0, 3, 255};
    char bnd[300];
    memset(reply + 5, 'n', 255);
    memset(bnd, 'n', 255);
    strcpy(bnd + 255, ":0");
    struct script x = script("\0", 1, true, 0, reply, sizeof reply);
    expect_done(&x, bnd);
    dst.kind = S5_ADDR_NAME;
    dst.name_len = 255;
    memset(dst.name, 'd', 255);
    dst.name[255] = '\0';
    char word[255];
    memset(word, 'w', sizeof word);
    struct s5_session_setup setup = setup_of(&x);
    setup.methods[0] = S5_METHOD_USERPASS;
    setup.username = setup.password = word;
    setup.username_len = setup.password_len = 255;
    struct s5_session *s = started(&x);
    cr_assert_eq(s5_session_start(s, &setup), 0);
    size_t left;
    const uint8_t *out = s5_session_out(s, &left);
    cr_assert_eq(left, 3 + 513 + 262);
    cr_assert_eq(memcmp(out + 3 + 513,
                        "\5\1\0\3\xff"
                        "ddd",
                        8),
                 0);
    cr_assert_eq(out[left - 1], 80);
}

Test(session, bind_has_two_replies)
{
    EACH_OFFER(x, V4 "\5\0\0\3\4peer\0\x09", V4_LEN + 11)
    {
        x.command = S5_BIND;
        expect_done(&x, "peer:9");
    }
}

Test(session, bind_stops_between_its_replies)
{
    struct script x = script("\0", 1, true, 0, V4, V4_LEN);
    x.command = S5_BIND;
    struct s5_session *s = started(&x);
    uint8_t wire[64];
    size_t used;
    cr_assert_eq(run(s, &x, 99, 99, wire, &used), x.len);
    cr_assert_eq(s5_session_state(s), S5_SESSION_BOUND);
    cr_assert_str_eq(s5_session_phase(s), "bound");
    cr_assert_eq(s5_session_bound(s)->port, 8080);
    cr_assert_eq(s5_session_need(s), 0);
    cr_assert_eq(s5_session_feed(s, "\5", 1), -EINVAL);
    cr_assert_eq(s5_session_eof(s), 0);
    cr_assert_eq(s5_session_state(s), S5_SESSION_BOUND);
    s5_session_next_reply(s);
    cr_assert_eq(s5_session_state(s), S5_SESSION_REPLY2);
    cr_assert_str_eq(s5_session_phase(s), "second reply");
    cr_assert_eq(s5_session_need(s), 7);
    s5_session_next_reply(s);
    cr_assert_eq(s5_session_state(s), S5_SESSION_REPLY2);
    struct s5_session two = *s;
    cr_assert_eq(s5_session_eof(s), -ECONNABORTED);
    cr_assert_eq(s5_session_feed(&two, "\5\6\0\1\1\1\1", 7), 0);
    cr_assert_eq(s5_session_feed(&two, "\1\1\1", 3), -ETIMEDOUT);
    cr_assert_eq(s5_session_bound(&two)->port, 8080, "BND of the last successful reply");
}

Test(session, next_reply_is_for_bound_only)
{
    struct script x = script("\0", 1, true, 0, V4, V4_LEN);
    struct s5_session *s = started(&x);
    s5_session_next_reply(s);
    cr_assert_eq(s5_session_state(s), S5_SESSION_METHOD);
}

/* --- when octets are sent --- */

Test(session, everything_is_pipelined_if_one_method_is_offered)
{
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    expect_out(s, "\5\1\2" SUB REQUEST, 3 + SUB_LEN + REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 2 + 2 + 7);
    x = script("\0", 1, true, 0, V4, V4_LEN);
    s = started(&x);
    expect_out(s, "\5\1\0" REQUEST, 3 + REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 2 + 7);
}

Test(session, the_rest_is_pipelined_if_several_are_offered)
{
    struct script x = script("\0\2", 2, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    expect_out(s, "\5\2\0\2", 4);
    cr_assert_eq(s5_session_need(s), 2);
    cr_assert_eq(s5_session_feed(s, "\5\2", 2), 0);
    expect_out(s, SUB REQUEST, SUB_LEN + REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 2 + 7);
    s = started(&x);
    expect_out(s, "\5\2\0\2", 4);
    cr_assert_eq(s5_session_feed(s, "\5\0", 2), 0);
    expect_out(s, REQUEST, REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 7);
}

Test(session, step_by_step_without_pipelining)
{
    struct script x = script("\2", 1, false, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    cr_assert_str_eq(s5_session_phase(s), "method selection");
    expect_out(s, "\5\1\2", 3);
    cr_assert_eq(s5_session_need(s), 2);
    cr_assert_eq(s5_session_feed(s, "\5\2", 2), 0);
    cr_assert_str_eq(s5_session_phase(s), "authentication");
    cr_assert_eq(s5_session_need(s), 0, "nothing was asked yet");
    expect_out(s, SUB, SUB_LEN);
    cr_assert_eq(s5_session_need(s), 2);
    cr_assert_eq(s5_session_feed(s, "\1\0", 2), 0);
    cr_assert_str_eq(s5_session_phase(s), "reply");
    cr_assert_eq(s5_session_need(s), 0);
    expect_out(s, REQUEST, REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 7);
    cr_assert_eq(s5_session_feed(s, V4, 7), 0);
    cr_assert_eq(s5_session_need(s), 3);
    cr_assert_eq(s5_session_feed(s, &V4[7], 3), 0);
    cr_assert_eq(s5_session_state(s), S5_SESSION_DONE);
    cr_assert_str_eq(s5_session_phase(s), "done");
}

/* A reply is needed as soon as the last octet of its request has been sent. */
Test(session, need_follows_what_was_sent)
{
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    size_t total = 3 + SUB_LEN + REQUEST_LEN;
    for (size_t sent = 0; sent <= total; sent++) {
        size_t want = sent < 3 ? 0 : sent < 3 + SUB_LEN ? 2 : sent < total ? 4 : 11;
        cr_expect_eq(s5_session_need(s), want, "%zu sent", sent);
        s5_session_sent(s, 1);
    }
    s = started(&x);
    s5_session_sent(s, 3);
    cr_assert_eq(s5_session_feed(s, "\5\2", 2), 0);
    cr_assert_eq(s5_session_need(s), 0);
    s5_session_sent(s, SUB_LEN);
    cr_assert_eq(s5_session_need(s), 2);
    cr_assert_eq(s5_session_feed(s, "\1", 1), 0);
    s5_session_sent(s, REQUEST_LEN);
    cr_assert_eq(s5_session_need(s), 1 + 7);
}

Test(session, need_shrinks_octet_by_octet)
{
    static const uint8_t server[] = "\5\2\1\0\5\0\0\3\3abc\0\1";
    static const size_t want[] = {11, 10, 9, 8, 7, 6, 5, 4, 3, 5, 4, 3, 2, 1, 0};
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    s5_session_sent(s, 999);
    for (size_t i = 0; i < sizeof server - 1; i++) {
        cr_expect_eq(s5_session_need(s), want[i], "before octet %zu", i);
        cr_assert_eq(s5_session_feed(s, server + i, 1), 0);
    }
    cr_assert_eq(s5_session_need(s), 0);
    cr_assert_eq(s5_session_state(s), S5_SESSION_DONE);
}

Test(session, more_than_needed_is_refused_and_changes_nothing)
{
    EACH_OFFER(x, V4, V4_LEN)
    for (size_t taken = 0; taken <= x.len; taken++) {
        uint8_t wire[256], many[64] = {5};
        struct s5_session *s = started(&x);
        for (size_t at = 0; at < taken; at++) {
            flush(s, wire, 0, 999);
            cr_assert_eq(s5_session_feed(s, x.server + at, 1), 0);
        }
        flush(s, wire, 0, 999);
        struct s5_session before = *s;
        cr_assert_eq(s5_session_feed(s, many, s5_session_need(s) + 1), -EINVAL);
        cr_assert_eq(s5_session_feed(s, many, 0), -EINVAL);
        cr_assert_eq(memcmp(s, &before, sizeof before), 0);
    }
}

Test(session, reporting_more_octets_than_there_were_is_harmless)
{
    struct script x = script("\0", 1, false, 0, V4, V4_LEN);
    struct s5_session *s = started(&x);
    s5_session_sent(s, 4000);
    s5_session_sent(s, SIZE_MAX);
    size_t left;
    s5_session_out(s, &left);
    cr_assert_eq(left, 0);
    cr_assert_eq(s5_session_need(s), 2);
}

/* --- set-ups --- */

static void expect_bad_setup(const struct s5_session_setup *setup)
{
    struct s5_session s, before;
    memset(&s, 0x5a, sizeof s);
    before = s;
    cr_expect_eq(s5_session_start(&s, setup), -EINVAL);
    cr_expect_eq(memcmp(&s, &before, sizeof s), 0);
}

#define EXPECT_BAD(change)                                                                         \
    do {                                                                                           \
        struct script x_ = script("\2\0", 2, true, 2, V4, V4_LEN);                                 \
        struct s5_session_setup setup = setup_of(&x_);                                             \
        change;                                                                                    \
        expect_bad_setup(&setup);                                                                  \
    } while (0)

Test(session, bad_setups_are_refused)
{
    struct s5_addr bad = {.kind = S5_ADDR_NAME};
    EXPECT_BAD(setup.n_methods = 0);
    EXPECT_BAD(setup.n_methods = S5_SESSION_METHODS_MAX + 1);
    EXPECT_BAD(setup.n_methods = 255);
    EXPECT_BAD(setup.methods[0] = S5_METHOD_GSSAPI);
    EXPECT_BAD(setup.methods[1] = S5_METHOD_GSSAPI);
    EXPECT_BAD(setup.methods[1] = 3);
    EXPECT_BAD(setup.methods[1] = 0xff);
    EXPECT_BAD(setup.username = NULL);
    EXPECT_BAD(setup.username_len = 0);
    EXPECT_BAD(setup.password = NULL);
    EXPECT_BAD(setup.password_len = 0);
    EXPECT_BAD(setup.command = 0);
    EXPECT_BAD(setup.command = 4);
    EXPECT_BAD(setup.dst = NULL);
    EXPECT_BAD(setup.dst = &bad);
    bad.kind = 4;
    EXPECT_BAD(setup.dst = &bad);
}

Test(session, credentials_are_optional_if_no_method_uses_them)
{
    struct script x = script("\0", 1, true, 0, V4, V4_LEN);
    struct s5_session_setup setup = setup_of(&x);
    setup.username = setup.password = NULL;
    setup.username_len = setup.password_len = 0;
    struct s5_session s;
    cr_assert_eq(s5_session_start(&s, &setup), 0);
}

Test(session, commands_and_destinations)
{
    struct script x = script("\0", 1, true, 0, V4, V4_LEN);
    struct s5_session_setup setup = setup_of(&x);
    struct s5_session s;
    struct s5_addr to = {.port = 0x1234};
    setup.dst = &to;
    setup.command = S5_UDP_ASSOCIATE;
    cr_assert_eq(s5_session_start(&s, &setup), 0);
    expect_out(&s, "\5\1\0\5\3\0\1\0\0\0\0\x12\x34", 13);
    cr_assert_eq(s5_addr_parse(&to, "host.example", 12, 25), 0);
    setup.command = S5_CONNECT;
    cr_assert_eq(s5_session_start(&s, &setup), 0);
    memset(&to, 0xff, sizeof to); /* it was copied */
    expect_out(&s, "\5\1\0\5\1\0\3\x0chost.example\0\x19", 22);
    cr_assert_eq(s5_addr_parse(&to, "2001:db8::2", 11, 25), 0);
    setup.pipeline = false;
    cr_assert_eq(s5_session_start(&s, &setup), 0);
    memset(&to, 0xff, sizeof to);
    expect_out(&s, "\5\1\0", 3);
    cr_assert_eq(s5_session_feed(&s, "\5\0", 2), 0);
    expect_out(&s, "\5\1\0\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\x19", 22);
}

Test(session, a_session_can_be_used_again)
{
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    uint8_t wire[256];
    size_t used;
    struct s5_session *s = started(&x);
    struct s5_session_setup setup = setup_of(&x);
    for (int i = 0; i < 3; i++) {
        x.server[5] = i == 0 ? 5 : 0;
        cr_assert_eq(s5_session_start(s, &setup), 0);
        cr_assert_eq(s5_session_bound(s)->kind, S5_ADDR_NONE);
        cr_assert_eq(s5_session_error(s), 0);
        run(s, &x, 5, 5, wire, &used);
        cr_assert_eq(s5_session_state(s), i ? S5_SESSION_DONE : S5_SESSION_FAILED);
    }
}

/* --- passwords --- */

static bool contains_word(const struct s5_session *s, const char *word)
{
    return memmem(s, sizeof *s, word, strlen(word)) != NULL;
}

Test(session, credentials_are_erased_after_they_are_sent)
{
    EACH_OFFER(x, V4, V4_LEN)
    {
        bool wanted = memchr(x.offered, 2, x.n_offered);
        struct s5_session *s = started(&x);
        cr_assert_eq(contains_word(s, SECRET), wanted, "it can be found where it is");
        cr_assert_eq(contains_word(s, USER), wanted);
        s5_session_sent(s, 2 + x.n_offered);
        cr_assert_eq(s5_session_feed(s, x.server, 2), 0);
        cr_assert_eq(contains_word(s, SECRET), x.auth != 0, "kept where it is to be sent, and only there");
        size_t left;
        s5_session_out(s, &left);
        if (x.auth) {
            cr_assert_eq(memmem(s->password, sizeof s->password, SECRET, 4), NULL);
            cr_assert_eq(memmem(s->username, sizeof s->username, USER, 4), NULL);
        }
        s5_session_sent(s, left);
        for (size_t n = 4; n < sizeof SECRET; n++) {
            char part[sizeof SECRET] = {0};
            memcpy(part, &SECRET[sizeof SECRET - 1 - n], n);
            cr_assert_not(contains_word(s, part), "the last %zu octets are left", n);
        }
        cr_assert_not(contains_word(s, USER));
    }
}

Test(session, credentials_are_erased_octet_by_octet)
{
    struct script x = script("\2", 1, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    for (size_t sent = 1; sent <= 3 + SUB_LEN + REQUEST_LEN; sent++) {
        s5_session_sent(s, 1);
        for (size_t i = 0; i < sent; i++)
            cr_assert_eq(s->out[i], 0, "octet %zu after %zu", i, sent);
    }
}

Test(session, credentials_are_erased_on_failure)
{
    EACH_OFFER(x, V4, V4_LEN)
    {
        struct s5_session *s = started(&x);
        s5_session_abort(s, -ETIMEDOUT);
        cr_assert_not(contains_word(s, SECRET) || contains_word(s, USER));
        s = started(&x);
        s5_session_sent(s, 5);
        s5_session_eof(s);
        cr_assert_not(contains_word(s, SECRET) || contains_word(s, &SECRET[4]) || contains_word(s, USER));
        s = started(&x);
        s5_session_sent(s, 2 + x.n_offered);
        s5_session_feed(s, "\5\xff", 2);
        cr_assert_not(contains_word(s, SECRET) || contains_word(s, USER));
    }
}

Test(session, a_wiped_session_is_empty_and_needs_nothing)
{
    struct script x = script("\2\0", 2, true, 2, V4, V4_LEN);
    struct s5_session *s = started(&x);
    s5_session_wipe(s);
    for (size_t i = 0; i < sizeof *s; i++)
        cr_assert_eq(((uint8_t *)s)[i], 0);
    size_t left = 1;
    s5_session_out(s, &left);
    cr_assert_eq(left, 0);
    cr_assert_eq(s5_session_need(s), 0);
    cr_assert_eq(s5_session_feed(s, "\5", 1), -EINVAL);
}

/* A copy at another address works: the session contains no pointers to itself. */
Test(session, it_can_be_moved_at_any_octet)
{
    struct script x = script("\2", 1, false, 2, V4, V4_LEN);
    static struct s5_session places[2];
    uint8_t wire[256];
    struct s5_session *s = started(&x);
    places[0] = *s;
    memset(s, 0xff, sizeof *s);
    for (size_t at = 0; at < x.len; at++) {
        struct s5_session *here = &places[at % 2], *there = &places[(at + 1) % 2];
        flush(here, wire, 0, 3);
        cr_assert_eq(s5_session_feed(here, x.server + at, 1), 0);
        *there = *here;
        memset(here, 0xff, sizeof *here);
    }
    cr_assert_eq(s5_session_state(&places[x.len % 2]), S5_SESSION_DONE);
}
