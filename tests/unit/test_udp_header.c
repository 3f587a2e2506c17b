/* UDP headers, octet by octet, at every length. The buffer ends right after them. */
#include "udp_header.h"
#include "edge.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct s5_addr parse_addr(const char *text, uint16_t port)
{
    struct s5_addr a;
    cr_assert_eq(s5_addr_parse(&a, text, strlen(text), port), 0);
    return a;
}

static void expect_header(const struct s5_addr *to, uint8_t frag, const char *want, size_t n)
{
    struct s5_writer w = s5_writer_init(edge(n), n);
    cr_assert_eq(s5_udp_header_len(to), n);
    s5_udp_header_write(&w, frag, to);
    cr_assert_not(w.failed);
    cr_assert_eq(w.used, n);
    cr_expect_eq(memcmp(w.at - n, want, n), 0);
    struct s5_udp_header d;
    cr_assert_eq(s5_udp_header_read(w.at - n, n, &d), 0);
    cr_expect(s5_addr_equal(&d.from, to));
    cr_expect_eq(d.frag, frag);
    cr_expect_eq(d.header_len, n);
    cr_expect_eq(s5_udp_header_peek_len(w.at - n, S5_UDP_HEADER_PEEK), n);
    for (size_t less = 0; less < n; less++) {
        uint8_t *cut = edge(less);
        memcpy(cut, want, less);
        cr_expect_eq(s5_udp_header_read(cut, less, &d), -EPROTO, "%zu octets", less);
    }
}

Test(datagram, headers)
{
    struct s5_addr v4 = parse_addr("192.0.2.1", 53), v6 = parse_addr("2001:db8::1", 0xabcd),
                   name = parse_addr("ex.org", 443);
    expect_header(&v4, 0, "\0\0\0\1\xc0\0\2\1\0\x35", S5_UDP_HEADER_IPV4);
    expect_header(&v6, 0x83, "\0\0\x83\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\xab\xcd",
                  S5_UDP_HEADER_IPV6);
    expect_header(&name, 1, "\0\0\1\3\6ex.org\1\xbb", 7 + 6);
}

Test(datagram, the_longest_name)
{
    char text[255];
    memset(text, 'n', sizeof text);
    struct s5_addr name;
    cr_assert_eq(s5_addr_parse(&name, text, sizeof text, 1), 0);
    struct s5_writer w = s5_writer_init(edge(S5_UDP_HEADER_MAX), S5_UDP_HEADER_MAX);
    s5_udp_header_write(&w, 0, &name);
    cr_expect_not(w.failed);
    cr_expect_eq(w.left, 0);
    w = s5_writer_init(edge(S5_UDP_HEADER_MAX - 1), S5_UDP_HEADER_MAX - 1);
    s5_udp_header_write(&w, 0, &name);
    cr_expect(w.failed);
}

Test(datagram, invalid_headers)
{
    static const char *const wrong[] = {
        "\1\0\0\1\1\2\3\4\0\x35", "\0\1\0\1\1\2\3\4\0\x35", "\0\0\x80\1\1\2\3\4\0\x35",
        "\0\0\0\0\1\2\3\4\0\x35", "\0\0\0\2\1\2\3\4\0\x35", "\0\0\0\3\3a\0b\0\x35",
    };
    struct s5_udp_header d;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_eq(s5_udp_header_read(wrong[i], 10, &d), -EPROTO, "%zu", i);
    cr_expect_eq(s5_udp_header_peek_len((const uint8_t *)"\0\0\0\2\1", 5), 0);
    cr_expect_eq(s5_udp_header_peek_len((const uint8_t *)"\0\0\0\1", 4), 0);
    cr_expect_eq(s5_udp_header_peek_len((const uint8_t *)"\0\0\0\3\xff", 5), S5_UDP_HEADER_MAX);
}

Test(datagram, data_after_the_header_is_ignored)
{
    struct s5_udp_header d;
    cr_expect_eq(s5_udp_header_read("\0\0\0\1\1\2\3\4\0\x35rest", 14, &d), 0);
    cr_expect_eq(d.header_len, 10);
    cr_expect_eq(s5_udp_header_read("\0\0\0\3\0\0\x35", 7, &d), 0); /* an empty name */
    cr_expect_eq(d.from.kind, S5_ADDR_NONE);
}
