/* Messages, octet by octet; every truncation of every reply; and the writer without enough space. */
#include "edge.h"
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>

static void expect_octets(const struct s5_writer *w, const void *want, size_t n)
{
    cr_expect_not(w->failed);
    cr_assert_eq(w->used, n, "%zu octets", w->used);
    cr_expect_eq(memcmp(w->at - n, want, n), 0);
}

Test(wire, greeting)
{
    struct s5_writer w = s5_writer_init(edge(5), 5);
    s5_wire_write_greeting(&w, (const uint8_t[]){2, 0, 1}, 3);
    expect_octets(&w, "\5\3\2\0\1", 5);
}

Test(wire, userpass)
{
    struct s5_writer w = s5_writer_init(edge(10), 10);
    s5_wire_write_userpass(&w, "alice", 5, "pw", 2);
    expect_octets(&w, "\1\5alice\2pw", 10);
    char words[255];
    memset(words, 'w', sizeof words);
    w = s5_writer_init(edge(513), 513);
    s5_wire_write_userpass(&w, words, 255, words, 255);
    cr_assert_not(w.failed);
    cr_assert_eq(w.left, 0);
}

static struct s5_addr parse_addr(const char *text, uint16_t port)
{
    struct s5_addr a;
    cr_assert_eq(s5_addr_parse(&a, text, strlen(text), port), 0);
    return a;
}

Test(wire, request)
{
    struct s5_addr v4 = parse_addr("192.0.2.1", 80), v6 = parse_addr("2001:db8::1", 443),
                   name = parse_addr("ex.org", 0x1234), none = {.port = 7};
    struct s5_writer w = s5_writer_init(edge(10), 10);
    s5_wire_write_request(&w, 1, &v4);
    expect_octets(&w, "\5\1\0\1\xc0\0\2\1\0\x50", 10);
    w = s5_writer_init(edge(22), 22);
    s5_wire_write_request(&w, 2, &v6);
    expect_octets(&w, "\5\2\0\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb", 22);
    w = s5_writer_init(edge(13), 13);
    s5_wire_write_request(&w, 3, &name);
    expect_octets(&w, "\5\3\0\3\6ex.org\x12\x34", 13);
    w = s5_writer_init(edge(10), 10);
    s5_wire_write_request(&w, 3, &none);
    expect_octets(&w, "\5\3\0\1\0\0\0\0\0\7", 10);
}

Test(wire, without_space_nothing_is_written_past_the_end)
{
    struct s5_addr name = parse_addr("a.name.example", 1);
    for (size_t capacity = 0; capacity < 21; capacity++) {
        struct s5_writer w = s5_writer_init(edge(capacity), capacity);
        s5_wire_write_request(&w, 1, &name);
        cr_expect(w.failed, "%zu", capacity);
    }
    for (size_t capacity = 0; capacity < 10; capacity++) {
        struct s5_writer w = s5_writer_init(edge(capacity), capacity);
        s5_wire_write_userpass(&w, "alice", 5, "pw", 2);
        cr_expect(w.failed, "%zu", capacity);
    }
}

Test(wire, selection)
{
    for (unsigned ver = 0; ver < 256; ver++)
        for (unsigned method = 0; method < 256; method++) {
            uint8_t in[] = {(uint8_t)ver, (uint8_t)method}, got = 0x77;
            struct s5_reader r = s5_reader_init(edge_copy(in, 2), 2);
            int result = s5_wire_read_selection(&r, &got);
            cr_assert_eq(result, ver == 5 ? 0 : -EPROTO);
            cr_assert_eq(got, ver == 5 ? method : 0x77);
        }
    uint8_t got = 0x77;
    struct s5_reader r = s5_reader_init(edge_copy("\5", 1), 1);
    cr_assert_eq(s5_wire_read_selection(&r, &got), -EAGAIN);
    r = s5_reader_init(edge(0), 0);
    cr_assert_eq(s5_wire_read_selection(&r, &got), -EAGAIN);
    r = s5_reader_init(edge_copy("\4", 1), 1);
    cr_assert_eq(s5_wire_read_selection(&r, &got), -EPROTO);
    cr_assert_eq(got, 0x77);
}

Test(wire, status)
{
    for (unsigned ver = 0; ver < 256; ver++) {
        uint8_t in[] = {(uint8_t)ver, 0x42}, got_ver = 0x77, got = 0x77;
        bool good = ver == 1 || ver == 5;
        struct s5_reader r = s5_reader_init(edge_copy(in, 2), 2);
        cr_assert_eq(s5_wire_read_status(&r, &got_ver, &got), good ? 0 : -EPROTO);
        cr_assert_eq(got_ver, good ? ver : 0x77);
        cr_assert_eq(got, good ? 0x42 : 0x77);
        r = s5_reader_init(edge_copy(in, 1), 1);
        cr_assert_eq(s5_wire_read_status(&r, &got_ver, &got), good ? -EAGAIN : -EPROTO);
    }
}

/* Every truncation of REPLY is incomplete. The whole reply is read, and the octets after it are left. */
static struct s5_addr read_whole(const void *reply, size_t n, uint8_t want_rep)
{
    struct s5_addr bound, before;
    uint8_t rep = 0x77;
    memset(&bound, 0x5a, sizeof bound);
    before = bound;
    for (size_t part = 0; part < n; part++) {
        struct s5_reader r = s5_reader_init(edge_copy(reply, part), part);
        cr_assert_eq(s5_wire_read_reply(&r, &rep, &bound), -EAGAIN, "%zu", part);
        int len = s5_wire_reply_len(edge_copy(reply, part), part);
        cr_assert((int)part < len && len <= (int)n, "%zu octets make it %d", part, len);
    }
    cr_assert_eq(memcmp(&bound, &before, sizeof bound), 0, "touched on failure");
    cr_assert_eq(rep, 0x77);
    cr_assert_eq(s5_wire_reply_len(edge_copy(reply, n), n), (int)n);
    struct s5_reader r = s5_reader_init(edge_copy(reply, n), n);
    cr_assert_eq(s5_wire_read_reply(&r, &rep, &bound), 0);
    cr_assert_eq(r.left, 0);
    cr_assert_eq(rep, want_rep);
    uint8_t more[600];
    memcpy(more, reply, n);
    memset(more + n, 5, 9);
    r = s5_reader_init(edge_copy(more, n + 9), n + 9);
    cr_assert_eq(s5_wire_read_reply(&r, &rep, &bound), 0);
    cr_assert_eq(r.left, 9);
    return bound;
}

static void expect_text(const struct s5_addr *a, const char *want)
{
    char text[S5_ADDR_TEXT_MAX];
    cr_expect_str_eq(s5_addr_format(a, text, sizeof text), want);
}

Test(wire, replies)
{
    struct s5_addr b = read_whole("\5\0\0\1\xc0\0\2\1\0\x50", 10, 0);
    expect_text(&b, "192.0.2.1:80");
    b = read_whole("\5\4\xff\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb", 22, 4);
    expect_text(&b, "[2001:db8::1]:443");
    b = read_whole("\5\0\0\4\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\0\x50", 22, 0);
    expect_text(&b, "192.0.2.1:80");
    b = read_whole("\5\0\0\3\6ex.org\x12\x34", 13, 0);
    expect_text(&b, "ex.org:4660");
    cr_assert_eq(b.name_len, 6);
    b = read_whole("\5\0\0\3\0\x12\x34", 7, 0);
    cr_assert_eq(b.kind, S5_ADDR_NONE);
    cr_assert_eq(b.port, 0x1234);
}

Test(wire, reply_names_of_every_length)
{
    for (size_t len = 1; len <= 255; len++) {
        uint8_t reply[300] = {5, 0, 0, 3, (uint8_t)len};
        memset(reply + 5, 'n', len);
        reply[5 + len + 1] = 9;
        struct s5_addr b = read_whole(reply, 7 + len, 0);
        cr_assert_eq(b.name_len, len);
        cr_assert_eq(strlen(b.name), len);
        cr_assert_eq(b.port, 9);
    }
}

Test(wire, malformed_replies)
{
    uint8_t rep = 0x77;
    struct s5_addr b, before;
    memset(&b, 0x5a, sizeof b);
    before = b;
    for (unsigned octet = 0; octet < 256; octet++) {
        uint8_t in[22] = {(uint8_t)octet, 0, 0, 1};
        struct s5_reader r = s5_reader_init(edge_copy(in, 1), 1);
        cr_expect_eq(s5_wire_read_reply(&r, &rep, &b), octet == 5 ? -EAGAIN : -EPROTO);
        cr_expect_eq(s5_wire_reply_len(edge_copy(in, 1), 1), octet == 5 ? 7 : -EPROTO);
        in[0] = 5;
        in[3] = (uint8_t)octet;
        bool good = octet == 1 || octet == 3 || octet == 4;
        r = s5_reader_init(edge_copy(in, 4), 4);
        cr_expect_eq(s5_wire_read_reply(&r, &rep, &b), good ? -EAGAIN : -EPROTO);
        cr_expect_eq(s5_wire_reply_len(edge_copy(in, 4), 4) < 0, !good);
    }
    struct s5_reader r = s5_reader_init(edge_copy("\5\0\0\3\3a\0b\0\1", 10), 10);
    cr_expect_eq(s5_wire_read_reply(&r, &rep, &b), -EPROTO, "a NUL within a name");
    cr_expect_eq(rep, 0x77);
    cr_expect_eq(memcmp(&b, &before, sizeof b), 0);
}

Test(wire, an_address_is_read_as_it_was_written)
{
    static const char *const texts[] = {"1.2.3.4", "::1", "fe80::1:2", "name.example", "0.0.0.0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct s5_addr a = parse_addr(texts[i], 0xfffe), back;
        uint8_t buf[300];
        struct s5_writer w = s5_writer_init(buf, sizeof buf);
        s5_wire_write_address(&w, &a);
        struct s5_reader r = s5_reader_init(edge_copy(buf, w.used), w.used);
        cr_expect_eq(s5_wire_read_address(&r, &back), 0);
        cr_expect(s5_addr_equal(&a, &back));
        cr_expect_eq(r.left, 0);
    }
}
