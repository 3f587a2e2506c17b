/* The provider and the link, with the installed GSSAPI library on the server's side. */
#include "acceptor.h"

static struct s5_gss_buffers buffers;
static uint8_t octets[S5_GSS_MESSAGE_MAX], message[S5_GSS_MESSAGE_MAX];

static struct s5_gss *make_gss(void)
{
    struct s5_gss *gss;
    struct s5_gss_fault fault;
    struct s5_gss_target target = {.service = "rcmd", .host = HOST};
    cr_assert_eq(s5_gss_new(&gss, &target, &fault), 0, "%s", fault.text);
    return gss;
}

static void start_link(struct s5_gss_link *l, struct s5_gss *gss, uint8_t level, bool nec,
                       enum s5_command command)
{
    static const struct s5_addr dst = {.kind = S5_ADDR_IPV4, .port = 80, .octets = {192, 0, 2, 1}};
    struct s5_session_setup setup = {.command = command, .dst = &dst, .n_methods = 2,
                                     .methods = {S5_METHOD_GSSAPI, S5_METHOD_NONE}};
    struct s5_gss_setup how = {&s5_gss_provider, gss, &buffers, level, nec};
    cr_assert_eq(s5_gss_link_start(l, &setup, &how), 0);
}

/* Takes all octets that the link has to send, at most CHUNK at a time. */
static size_t take_output(struct s5_gss_link *l, size_t chunk)
{
    size_t total = 0, n;
    const uint8_t *out;
    while (out = s5_gss_link_out(l, &n), n) {
        n = n < chunk ? n : chunk;
        memcpy(octets + total, out, n);
        s5_gss_link_sent(l, n);
        total += n;
    }
    return total;
}

/* Feeds DATA as it is needed, at most CHUNK octets at a time. Nothing may be left over. */
static int feed_octets(struct s5_gss_link *l, const void *data, size_t n, size_t chunk)
{
    for (size_t at = 0; at < n;) {
        size_t part = s5_gss_link_need(l);
        cr_assert(part > 0 && part <= n - at, "asks for %zu of %zu", part, n - at);
        part = part < chunk ? part : chunk;
        int r = s5_gss_link_feed(l, (const uint8_t *)data + at, part);
        if (r < 0)
            return r;
        at += part;
    }
    return 0;
}

/* Runs up to the agreement on LEVEL. The server answers with ANSWER. */
static gss_ctx_id_t negotiate_level(struct s5_gss_link *l, uint8_t level, uint8_t answer, bool nec,
                                    size_t chunk, int expected)
{
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    uint8_t asked[8];
    size_t n = take_output(l, chunk), len;
    cr_assert(n == 4 && memcmp(octets, "\5\2\1\0", 4) == 0);
    cr_assert_eq(feed_octets(l, "\5\1", 2, chunk), 0);
    n = take_output(l, chunk);
    cr_assert_eq(s5_gss_frame_len(octets, n, S5_GSS_CONTEXT), (int)n);
    acceptor_step(&context, octets + S5_GSS_HEAD, n - S5_GSS_HEAD, message + S5_GSS_HEAD, &len);
    s5_gss_frame_head(message, S5_GSS_CONTEXT, len);
    cr_assert_eq(feed_octets(l, message, S5_GSS_HEAD + len, chunk), 0);
    n = take_output(l, chunk);
    if (nec) {
        cr_assert(n == 5 && memcmp(octets, "\1\2\0\1", 4) == 0 && octets[4] == level);
        len = 5;
        memcpy(message, "\1\2\0\1", 4);
        message[4] = answer;
    } else {
        cr_assert_eq(acceptor_unwrap(context, S5_GSS_LEVEL, false, octets, n, asked), 1);
        cr_assert_eq(asked[0], level);
        len = acceptor_wrap(context, S5_GSS_LEVEL, false, &answer, 1, message);
    }
    cr_assert_eq(feed_octets(l, message, len, chunk), expected);
    return context;
}

static void release_gss(struct s5_gss *gss, gss_ctx_id_t context)
{
    OM_uint32 minor;
    gss_delete_sec_context(&minor, &context, NULL);
    s5_gss_free(gss);
}

Test(gss, every_level_however_cut)
{
    static const char reply[] = "\5\0\0\1\xc0\0\2\7\x1f\x90" "first words";
    static const size_t chunks[] = {1, 3, 100, 65539};
    for (uint8_t level = 0; level <= 2; level++)
        for (int c = 0; c < 8; c++) {
            struct s5_gss_link l;
            struct s5_gss *gss = make_gss();
            bool nec = c >= 4, conf = level == 2;
            size_t chunk = chunks[c % 4], n, rest;
            start_link(&l, gss, level, nec, S5_CONNECT);
            gss_ctx_id_t context = negotiate_level(&l, level, level, nec, chunk, 0);
            n = take_output(&l, chunk);
            if (level)
                n = acceptor_unwrap(context, S5_GSS_DATA, conf, octets, n, octets);
            cr_assert(n == 10 && memcmp(octets, "\5\1\0\1\xc0\0\2\1\0\x50", 10) == 0);
            if (level) {
                n = acceptor_wrap(context, S5_GSS_DATA, conf, reply, sizeof reply - 1, message);
                cr_assert_eq(feed_octets(&l, message, n, chunk), 0);
                const uint8_t *surplus = s5_gss_link_surplus(&l, &rest);
                cr_assert(rest == 11 && memcmp(surplus, "first words", 11) == 0);
            } else
                cr_assert_eq(feed_octets(&l, reply, 10, chunk), 0);
            cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_DONE);
            cr_assert_eq(s5_gss_link_level(&l), level);
            cr_assert_eq(s5_gss_link_need(&l), 0);
            cr_assert_eq(s5_session_bound(&l.session)->port, 8080);
            release_gss(gss, context);
        }
}

Test(gss, levels_refused_and_accepted)
{
    static const struct {
        uint8_t asked, answer;
        int result;
    } rows[] = {{2, 1, -EACCES}, {2, 0, -EACCES}, {1, 0, -EACCES}, {2, 3, -EACCES}, {1, 3, -EACCES},
                {0, 3, -EACCES}, {2, 255, -EACCES}, {1, 2, 0}, {0, 1, 0}, {0, 2, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s5_gss_link l;
        struct s5_gss *gss = make_gss();
        start_link(&l, gss, rows[i].asked, false, S5_CONNECT);
        gss_ctx_id_t context =
            negotiate_level(&l, rows[i].asked, rows[i].answer, false, 65539, rows[i].result);
        cr_assert_eq(s5_gss_link_error(&l), rows[i].result);
        cr_assert_eq(s5_gss_link_level(&l), rows[i].result ? 0 : rows[i].answer);
        release_gss(gss, context);
    }
}

/* Establishes a sealed connection. */
static gss_ctx_id_t establish_sealed(struct s5_gss_link *l, struct s5_gss *gss, uint8_t level)
{
    start_link(l, gss, level, false, S5_CONNECT);
    gss_ctx_id_t context = negotiate_level(l, level, level, false, 65539, 0);
    size_t n = take_output(l, 65539);
    acceptor_unwrap(context, S5_GSS_DATA, level == 2, octets, n, octets);
    n = acceptor_wrap(context, S5_GSS_DATA, level == 2, "\5\0\0\1\0\0\0\0\0\0", 10, message);
    cr_assert_eq(feed_octets(l, message, n, 65539), 0);
    cr_assert_eq(s5_gss_link_state(l), S5_SESSION_DONE);
    return context;
}

Test(gss, messages_of_every_length_both_ways)
{
    static uint8_t data[65536], back[S5_GSS_MESSAGE_MAX];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761U >> 13);
    for (uint8_t level = 1; level <= 2; level++) {
        struct s5_gss_link l;
        struct s5_gss *gss = make_gss();
        gss_ctx_id_t context = establish_sealed(&l, gss, level);
        const struct s5_seal *seal = s5_gss_link_seal(&l);
        size_t most = s5_seal_most(seal);
        cr_assert(most > 65000 && most < S5_SEAL_MESSAGE_MAX);
        for (size_t n = 1; n <= most; n = n < 40 || n == most ? n + 1 : n * 2 < most ? n * 2 : most) {
            int len = s5_seal_wrap(seal, data, n, message, sizeof message);
            cr_assert(len > 0 && len <= S5_SEAL_MESSAGE_MAX, "%d", len);
            cr_assert_eq(acceptor_unwrap(context, S5_GSS_DATA, level == 2, message, (size_t)len, back), n);
            cr_assert_eq(memcmp(back, data, n), 0);
            size_t m = acceptor_wrap(context, S5_GSS_DATA, level == 2, data, n, message);
            cr_assert_eq(s5_seal_unwrap(seal, message, m, message, sizeof message), (int)n);
            cr_assert_eq(memcmp(message, data, n), 0);
        }
        cr_assert_lt(s5_seal_wrap(seal, data, most, message, most), 0);
        size_t m = acceptor_wrap(context, S5_GSS_DATA, level == 2, data, 100, message);
        cr_assert_eq(s5_seal_unwrap(seal, message, m, back, 99), -ENOBUFS);
        release_gss(gss, context);
    }
}

Test(gss, tampered_replayed_unordered_and_weaker_messages)
{
    for (uint8_t level = 1; level <= 2; level++) {
        uint8_t copy[512], first[512], second[512];
        struct s5_gss_link l;
        struct s5_gss *gss = make_gss();
        gss_ctx_id_t context = establish_sealed(&l, gss, level);
        const struct s5_seal *seal = s5_gss_link_seal(&l);
        size_t n = acceptor_wrap(context, S5_GSS_DATA, level == 2, "a word", 6, first);
        for (size_t i = 0; i < n; i++) { /* any octet changed, and any truncation */
            memcpy(copy, first, n);
            copy[i] ^= 0x40;
            cr_assert_lt(s5_seal_unwrap(seal, copy, n, copy, sizeof copy), 0, "octet %zu", i);
            memcpy(copy, first, n);
            copy[3] = (uint8_t)(i - S5_GSS_HEAD); /* a head that matches the truncation */
            cr_assert_lt(s5_seal_unwrap(seal, copy, i, copy, sizeof copy), 0);
        }
        cr_assert_eq(s5_seal_unwrap(seal, first, n, copy, sizeof copy), 6);
        cr_assert_eq(s5_seal_unwrap(seal, first, n, copy, sizeof copy), -EPROTO);
        n = acceptor_wrap(context, S5_GSS_DATA, level == 2, "dropped", 7, first);
        n = acceptor_wrap(context, S5_GSS_DATA, level == 2, "one", 3, second);
        cr_assert_eq(s5_seal_unwrap(seal, second, n, copy, sizeof copy), -EPROTO);
        release_gss(gss, context);
    }
    struct s5_gss_link l;
    struct s5_gss *gss = make_gss();
    gss_ctx_id_t context = establish_sealed(&l, gss, 2);
    size_t n = acceptor_wrap(context, S5_GSS_DATA, false, "not encrypted", 13, message);
    cr_assert_eq(s5_seal_unwrap(s5_gss_link_seal(&l), message, n, message, 99), -EPROTO);
    release_gss(gss, context);
}

Test(gss, datagrams_may_be_reordered_but_not_repeated)
{
    static uint8_t messages[100][128];
    size_t len[100];
    struct s5_gss_link l;
    struct s5_gss *gss = make_gss();
    gss_ctx_id_t context = establish_sealed(&l, gss, 2);
    const struct s5_seal *seal = s5_gss_link_seal(&l);
    uint8_t back[64];
    for (int i = 0; i < 100; i++)
        len[i] = acceptor_wrap(context, S5_GSS_DATA, true, &i, sizeof i, messages[i]);
    static const int order[] = {0, 2, 1, 5, 3, 4, 30, 29, 10, 6, 99, 98, 70};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const uint8_t *at = messages[order[i]];
        size_t n = len[order[i]];
        cr_assert_eq(s5_seal_unwrap_datagram(seal, at, n, back, sizeof back), sizeof(int), "%d", order[i]);
        cr_assert_eq(memcmp(back, &order[i], sizeof(int)), 0);
        cr_assert_eq(s5_seal_unwrap_datagram(seal, at, n, back, sizeof back), -EPROTO);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        cr_assert_lt(s5_seal_unwrap_datagram(seal, messages[order[i]], len[order[i]], back, 64), 0);
    release_gss(gss, context);
}

Test(gss, both_replies_of_bind_in_one_message)
{
    struct s5_gss_link l;
    struct s5_gss *gss = make_gss();
    size_t n, rest;
    start_link(&l, gss, 2, false, S5_BIND);
    gss_ctx_id_t context = negotiate_level(&l, 2, 2, false, 7, 0);
    n = take_output(&l, 7);
    cr_assert_eq(acceptor_unwrap(context, S5_GSS_DATA, true, octets, n, octets), 10);
    n = acceptor_wrap(context, S5_GSS_DATA, true,
                      "\5\0\0\1\1\1\1\1\0\1\5\0\0\1\2\2\2\2\0\2surplus", 27, message);
    cr_assert_eq(feed_octets(&l, message, n, 7), 0);
    cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_BOUND);
    cr_assert_eq(s5_session_bound(&l.session)->port, 1);
    s5_gss_link_next_reply(&l);
    cr_assert_eq(s5_gss_link_state(&l), S5_SESSION_DONE);
    cr_assert_eq(s5_session_bound(&l.session)->port, 2);
    cr_assert_eq(memcmp(s5_gss_link_surplus(&l, &rest), "surplus", 7), 0);
    cr_assert_eq(rest, 7);
    release_gss(gss, context);
}

Test(gss, prepared_ahead_of_time)
{
    char principal[S5_GSS_PRINCIPAL];
    unsigned seconds = 0;
    struct s5_gss_fault fault;
    struct s5_gss_target target = {.service = "rcmd", .host = HOST};
    cr_assert_eq(s5_gss_prepare(&target, principal, &seconds, &fault), 0, "%s", fault.text);
    cr_assert_str_eq(principal, "rcmd/" HOST "@SOCKS5.TEST");
    cr_assert(seconds > 3600 && seconds <= 36000);
    struct s5_gss *gss;
    target.principal = principal;
    cr_assert_eq(s5_gss_new(&gss, &target, &fault), 0);
    struct s5_gss_link l;
    release_gss(gss, establish_sealed(&l, gss, 2));
}

Test(gss, fault_texts)
{
    static const struct {
        const char *variable, *value, *service, *text;
    } rows[] = {
        {"KRB5CCNAME", "FILE:/nonexistent/cache", "rcmd", "run kinit"},
        {"LANG", "C", "nosuchservice", "not found in Kerberos database"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char before[256], principal[S5_GSS_PRINCIPAL];
        struct s5_gss_target target = {.service = rows[i].service, .host = HOST};
        struct s5_gss_fault fault;
        unsigned seconds;
        const char *old = getenv(rows[i].variable);
        snprintf(before, sizeof before, "%s", old ? old : "");
        setenv(rows[i].variable, rows[i].value, 1);
        cr_assert_eq(s5_gss_prepare(&target, principal, &seconds, &fault), -EACCES, "%zu",
                     i);
        cr_assert(*fault.text && strstr(fault.text, rows[i].text), "%s", fault.text);
        cr_assert_not(strchr(fault.text, '\n'));
        setenv(rows[i].variable, before, 1);
    }
}
