/* The rules of the link, with a provider that never fails by itself: which messages a server may send when, and
 * what the link needs at each point. */
#include "edge.h"
#include "fake_gss.h"
#include <criterion/criterion.h>

static struct s5_gss_buffers buffers;
static struct fake client_gss, server_gss;
static struct s5_gss_link l;

static void start_link(uint8_t level, int steps, bool silent)
{
    static const struct s5_addr dst = {.kind = S5_ADDR_IPV4, .port = 80, .octets = {192, 0, 2, 1}};
    struct s5_session_setup setup = {.command = S5_CONNECT, .dst = &dst, .n_methods = 1,
                                     .methods = {S5_METHOD_GSSAPI}, .pipeline = true};
    struct s5_gss_setup how = {&fake_provider, &client_gss, &buffers, level, false};
    client_gss = (struct fake){steps, silent, 0, 0};
    server_gss = (struct fake){0};
    memset(&l, 0xa5, sizeof l);
    cr_assert_eq(s5_gss_link_start(&l, &setup, &how), 0);
}

static size_t take_output(void)
{
    size_t n, total = 0;
    while (s5_gss_link_out(&l, &n), n) {
        total += n;
        s5_gss_link_sent(&l, n);
    }
    return total;
}

/* Feeds octets as they are needed, each part at the end of readable memory. Stops at a failure. */
static int feed_octets(const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t part = s5_gss_link_need(&l);
        cr_assert(part > 0, "nothing is asked for, %zu octets are left", n - at);
        part = part < n - at ? part : n - at;
        int r = s5_gss_link_feed(&l, edge_copy((const uint8_t *)data + at, part), part);
        if (r < 0)
            return r;
        at += part;
    }
    return 0;
}

static void run_to_level(uint8_t level)
{
    start_link(level, 1, false);
    cr_assert_eq(take_output(), 3); /* the pipelined request is not sent before the context is established */
    cr_assert_eq(feed_octets("\5\1", 2), 0);
    cr_assert_eq(take_output(), 4 + 5 + 4 + 4);
    cr_assert_str_eq(s5_gss_link_phase(&l), "protection level");
}

static size_t make_sealed(uint8_t *to, uint8_t mtyp, bool conf, const void *data, size_t n)
{
    int len = fake_wrap(&server_gss, conf, data, n, to + S5_GSS_HEAD, 1000);
    s5_gss_frame_head(to, mtyp, (size_t)len);
    return S5_GSS_HEAD + (size_t)len;
}

static void run_to_reply(uint8_t level)
{
    uint8_t message[64];
    run_to_level(level);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_LEVEL, false, &level, 1)), 0);
    cr_assert_eq(take_output(), level ? 4 + 3 + 10 : 10);
}

Test(gss_link, refuses_gssapi_without_a_provider)
{
    static const struct s5_addr dst = {.kind = S5_ADDR_IPV4, .port = 80};
    struct s5_session_setup setup = {.command = S5_CONNECT, .dst = &dst, .n_methods = 1,
                                     .methods = {S5_METHOD_GSSAPI}};
    cr_assert_eq(s5_gss_link_start(&l, &setup, NULL), -EINVAL);
    setup.methods[0] = S5_METHOD_NONE;
    cr_assert_eq(s5_gss_link_start(&l, &setup, NULL), 0);
    cr_assert_eq(take_output(), 3);
    cr_assert_eq(feed_octets("\5\0", 2), 0);
    cr_assert_eq(take_output(), 10);
    cr_assert_eq(s5_gss_link_need(&l), 7);
}

Test(gss_link, several_steps_and_a_silent_last_one)
{
    for (int steps = 1; steps <= 4; steps++)
        for (int silent = 0; silent <= (steps > 1); silent++) {
            start_link(2, steps, silent);
            take_output();
            cr_assert_eq(feed_octets("\5\1", 2), 0);
            for (int i = 1; i < steps; i++) {
                cr_assert_eq(take_output(), 9);
                cr_assert_str_eq(s5_gss_link_phase(&l), "security context");
                cr_assert_eq(feed_octets("\1\1\0\2ok", 6), 0);
            }
            cr_assert_eq(take_output(), silent ? 8 : 17);
            cr_assert_str_eq(s5_gss_link_phase(&l), "protection level");
        }
}

Test(gss_link, wrong_messages_at_every_point)
{
    static const struct {
        const char *octets;
        size_t n;
        int error;
    } wrong[] = {
        {"\0", 1, -EPROTO},          {"\5", 1, -EPROTO},         {"\1\0", 2, -EPROTO},
        {"\1\4", 2, -EPROTO},        {"\1\xff", 2, -EACCES},     {"\1\x80", 2, -EPROTO},
        {"\5\0\0\1", 4, -EPROTO},
    };
    for (int point = 0; point < 3; point++) {
        static const uint8_t mtyp[] = {1, 2, 3};
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong + 2; i++) {
            uint8_t octets[8] = {1, mtyp[point]};
            size_t n = 4;
            int error = -EPROTO;
            if (point == 0) {
                start_link(2, 2, false);
                take_output();
                feed_octets("\5\1", 2);
                take_output();
            } else if (point == 1)
                run_to_level(2);
            else
                run_to_reply(2);
            if (i < sizeof wrong / sizeof *wrong) {
                memcpy(octets, wrong[i].octets, n = wrong[i].n);
                error = wrong[i].error;
            } else if (i == sizeof wrong / sizeof *wrong + 1)
                octets[1] = mtyp[(point + 1) % 3]; /* one of the other types */
            cr_assert_eq(feed_octets(octets, n), error, "point %d, row %zu", point, i);
            cr_assert_eq(s5_gss_link_need(&l), 0);
            cr_assert_eq(take_output(), 0);
            cr_assert_eq(s5_gss_link_error(&l), error);
        }
    }
}

Test(gss_link, ends_of_file)
{
    uint8_t message[64];
    start_link(2, 2, false);
    take_output();
    feed_octets("\5\1", 2);
    cr_assert_eq(s5_gss_link_eof(&l), -EACCES);
    run_to_level(2);
    cr_assert_eq(s5_gss_link_eof(&l), -EACCES);
    run_to_reply(2);
    cr_assert_eq(s5_gss_link_eof(&l), -ECONNREFUSED);
    run_to_reply(2);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, "\5\4", 2)), 0);
    cr_assert_eq(s5_gss_link_eof(&l), -EHOSTUNREACH); /* a failing REP that was received takes precedence */
}

Test(gss_link, a_reply_in_pieces_each_sealed)
{
    static const char reply[] = "\5\0\0\1\1\2\3\4\0\7rest";
    uint8_t message[64];
    run_to_reply(2);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, reply + i, 1)), 0);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, "", 0)), 0);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, reply + 9, 5)), 0);
    size_t n;
    cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_DONE);
    cr_assert(memcmp(s5_gss_link_surplus(&l, &n), "rest", 4) == 0 && n == 4);
}

Test(gss_link, unordered_and_unencrypted_replies_fail)
{
    uint8_t message[64];
    run_to_reply(2);
    server_gss.sent++;
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, "\5", 1)), -EPROTO);
    run_to_reply(2);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, false, "\5", 1)), -EPROTO);
    run_to_reply(1);
    cr_assert_eq(feed_octets(message, make_sealed(message, S5_GSS_DATA, true, "\5", 1)), 0);
}

Test(gss_link, more_than_needed_changes_nothing)
{
    run_to_reply(2);
    cr_assert_eq(s5_gss_link_need(&l), 4);
    cr_assert_eq(s5_gss_link_feed(&l, "\1\3\0\4x", 5), -EINVAL);
    cr_assert_eq(s5_gss_link_feed(&l, "", 0), -EINVAL);
    cr_assert_eq(s5_gss_link_need(&l), 4);
    cr_assert_eq(s5_gss_link_feed(&l, "\1\3\0\4", 4), 0);
    cr_assert_eq(s5_gss_link_need(&l), 4);
}

/* --- at every octet --- */

/* Writes everything that the server sends to TO. ENDS gets the end of each of its four messages. Returns the
 * length. */
static size_t make_server_octets(uint8_t level, uint8_t *to, size_t ends[4])
{
    size_t n = 0;
    memcpy(to, "\5\1\1\1\0\2ok", 8);
    ends[0] = 2;
    ends[1] = n = 8;
    ends[2] = n += make_sealed(to + n, S5_GSS_LEVEL, false, &level, 1);
    ends[3] = n += make_sealed(to + n, S5_GSS_DATA, level == 2, "\5\0\0\1\1\2\3\4\0\7", 10);
    return n;
}

/* Feeds octets of DATA as they are needed, at most FIRST at the beginning. Returns how many were fed. */
static size_t feed_as_needed(const uint8_t *data, size_t n, size_t first)
{
    size_t at = 0;
    while (at < n) {
        take_output();
        size_t part = s5_gss_link_need(&l), most = at ? n - at : first;
        if (part == 0)
            break;
        part = part < most ? part : most;
        part = part < n - at ? part : n - at;
        s5_gss_link_feed(&l, edge_copy(data + at, part), part);
        at += part;
    }
    return at;
}

Test(gss_link, end_of_file_at_every_octet)
{
    static const int errors[] = {-ECONNREFUSED, -EACCES, -EACCES, -ECONNREFUSED};
    uint8_t octets[128];
    size_t ends[4];
    for (uint8_t level = 1; level <= 2; level++)
        for (size_t at = 0, message = 0, n = 1; at < n; at++) {
            start_link(level, 2, false);
            n = make_server_octets(level, octets, ends);
            message += at == ends[message];
            cr_assert_eq(feed_as_needed(octets, at, at), at);
            cr_assert_eq(s5_gss_link_error(&l), 0);
            cr_assert_eq(s5_gss_link_eof(&l), errors[message], "level %d, octet %zu of message %zu",
                         level, at, message);
            cr_assert_eq(s5_gss_link_need(&l), 0);
            cr_assert_eq(take_output(), 0);
        }
}

Test(gss_link, other_octets_from_every_octet_on)
{
    static const int errors[] = {-ECONNREFUSED, -EACCES, -EACCES, -ECONNREFUSED};
    static const uint8_t others[] = {0xff, 0, 1, 5};
    uint8_t octets[256];
    size_t ends[4];
    for (size_t other = 0; other < sizeof others; other++)
        for (uint8_t level = 1; level <= 2; level++)
            for (size_t at = 0, message = 0, n = 1; at < n; at++) {
                start_link(level, 2, false);
                n = make_server_octets(level, octets, ends);
                message += at == ends[message];
                bool same = true;
                for (size_t i = at; i < n; i++)
                    same &= octets[i] == others[other];
                memset(octets + at, others[other], sizeof octets - at);
                feed_as_needed(octets, sizeof octets, sizeof octets);
                int r = s5_gss_link_state(&l) == S5_SESSION_DONE ? 0 : s5_gss_link_eof(&l);
                cr_assert(same ? r == 0
                               : r == -EPROTO || r == -EACCES || r == errors[message] ||
                                     r == -ECONNREFUSED,
                          "level %d, octet %zu of message %zu: %d", level, at, message, r);
                cr_assert(r == 0 || s5_gss_link_need(&l) == 0);
            }
}

Test(gss_link, cut_at_every_octet)
{
    uint8_t octets[128];
    size_t ends[4];
    for (uint8_t level = 1; level <= 2; level++)
        for (size_t first = 1, n = 2; first <= n; first++) {
            start_link(level, 2, false);
            n = make_server_octets(level, octets, ends);
            cr_assert_eq(feed_as_needed(octets, n, first), n);
            cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_DONE);
            cr_assert_eq(s5_gss_link_level(&l), level);
            start_link(level, 2, false);
            make_server_octets(level, octets, ends);
            cr_assert_eq(feed_as_needed(octets, first, first), first);
            cr_assert_eq(feed_as_needed(octets + first, n - first, n - first), n - first);
            cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_DONE);
        }
}
