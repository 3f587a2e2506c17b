/* Conversions of addresses from and to sockaddr and text, and their comparison and classification. */
#include "addr.h"
#include "edge.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static struct s5_addr parse_addr(const char *text, uint16_t port)
{
    struct s5_addr a;
    memset(&a, 0xa5, sizeof a);
    const char *at = (const char *)edge_copy(text, strlen(text));
    cr_assert_eq(s5_addr_parse(&a, at, strlen(text), port), 0, "%s", text);
    return a;
}

static void expect_text(const struct s5_addr *a, const char *text)
{
    char buf[S5_ADDR_TEXT_MAX];
    cr_expect_str_eq(s5_addr_format(a, buf, sizeof buf), text);
}

Test(addr, literals_and_names_are_distinguished)
{
    static const struct {
        const char *text, *shown;
        enum s5_addr_kind kind;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1:80", S5_ADDR_IPV4},
        {"0.0.0.0", "0.0.0.0:80", S5_ADDR_IPV4},
        {"255.255.255.255", "255.255.255.255:80", S5_ADDR_IPV4},
        {"2001:db8::1", "[2001:db8::1]:80", S5_ADDR_IPV6},
        {"[2001:DB8:0::1]", "[2001:db8::1]:80", S5_ADDR_IPV6},
        {"::", "[::]:80", S5_ADDR_IPV6},
        {"[::]", "[::]:80", S5_ADDR_IPV6},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
         S5_ADDR_IPV6},
        {"::ffff:192.0.2.1", "192.0.2.1:80", S5_ADDR_IPV4},
        {"[::ffff:c000:201]", "192.0.2.1:80", S5_ADDR_IPV4},
        {"1.2.3", "1.2.3:80", S5_ADDR_NAME},
        {"1.2.3.4.", "1.2.3.4.:80", S5_ADDR_NAME},
        {"256.1.1.1", "256.1.1.1:80", S5_ADDR_NAME},
        {"example.org", "example.org:80", S5_ADDR_NAME},
        {"x", "x:80", S5_ADDR_NAME},
        {"_a~%!", "_a~%!:80", S5_ADDR_NAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s5_addr a = parse_addr(cases[i].text, 80);
        cr_expect_eq(a.kind, cases[i].kind, "%s", cases[i].text);
        cr_expect_eq(a.port, 80);
        cr_expect_eq(a.scope, 0);
        expect_text(&a, cases[i].shown);
    }
}

Test(addr, a_name_has_its_length_and_a_nul)
{
    struct s5_addr a = parse_addr("example.org", 1);
    cr_assert_eq(a.name_len, 11);
    cr_assert_str_eq(a.name, "example.org");
    cr_assert_eq(parse_addr("192.0.2.1", 1).name_len, 0);
}

static void expect_refused(const char *text, size_t len)
{
    struct s5_addr a, before;
    memset(&a, 0x5a, sizeof a);
    before = a;
    const char *at = (const char *)edge_copy(text, len);
    cr_expect_eq(s5_addr_parse(&a, at, len, 1), -EINVAL, "%.*s", (int)len, text);
    cr_expect_eq(memcmp(&a, &before, sizeof a), 0, "touched on failure");
}

Test(addr, invalid_addresses_are_refused)
{
    static const char *const bad[] = {
        "",           " ",         "a b",    "a/b",          "a:b",         ":",
        "1.2.3.4:80", "[::1",      "::1]",   "[::1]x",       "[]",          "[",
        "]:",         "[1.2.3.4]", "[name]", "fe80::1%eth0", "[fe80::1%1]", "1::2::3",
        "12345::",    "a\tb",      "a\nb",   "\x7f",         "n\xc3\xa4me", "2001:db8::1/64",
        "[[::1]]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(bad[i], strlen(bad[i]));
    expect_refused("a\0b", 3);
    expect_refused("1.2.3.4\0", 8);
    expect_refused("1.2.3.4\0x", 9);
}

Test(addr, names_of_every_length)
{
    char text[300], shown[S5_ADDR_TEXT_MAX], want[S5_ADDR_TEXT_MAX];
    memset(text, 'n', sizeof text);
    for (size_t len = 1; len <= 255; len++) {
        struct s5_addr a;
        cr_assert_eq(s5_addr_parse(&a, (const char *)edge_copy(text, len), len, 65535), 0);
        cr_assert_eq(a.name_len, len);
        cr_assert_eq(strlen(a.name), len);
        snprintf(want, sizeof want, "%.*s:65535", (int)len, text);
        cr_assert_str_eq(s5_addr_format(&a, shown, sizeof shown), want);
    }
    expect_refused(text, 256);
    expect_refused(text, 299);
}

Test(addr, every_octet_in_a_name)
{
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        struct s5_addr a;
        int want = c > 0x20 && c < 0x7f && c != '/' && c != ':' ? 0 : -EINVAL;
        cr_expect_eq(s5_addr_parse(&a, text, 3, 1), want, "octet %02x", (unsigned)c);
    }
}

Test(addr, text_is_cut_with_a_nul)
{
    static const char *const texts[] = {"192.0.2.255", "2001:db8::abcd", "some.name.example"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct s5_addr a = parse_addr(texts[i], 12345);
        char whole[S5_ADDR_TEXT_MAX];
        s5_addr_format(&a, whole, sizeof whole);
        for (size_t size = 1; size <= strlen(whole) + 1; size++) {
            char *buf = (char *)edge(size);
            cr_expect_eq(s5_addr_format(&a, buf, size), buf);
            cr_expect_eq(strlen(buf), size - 1);
            cr_expect_eq(memcmp(buf, whole, size - 1), 0);
        }
    }
}

Test(addr, strange_octets_of_a_name_are_shown_as_question_marks)
{
    struct s5_addr a = {.kind = S5_ADDR_NAME, .name_len = 6, .port = 7};
    memcpy(a.name, "a\n\x1b\xff~ ", 7);
    expect_text(&a, "a???~ :7");
    memcpy(a.name, "ab\0\0\0", 6);
    char buf[S5_ADDR_TEXT_MAX];
    cr_assert(strlen(s5_addr_format(&a, buf, sizeof buf)) < sizeof buf);
    struct s5_addr none = {.port = 7};
    expect_text(&none, "unknown:7");
}

Test(addr, ipv6_text_is_inet_ntops)
{
    srandom(1);
    for (int i = 0; i < 2000; i++) {
        struct s5_addr a = {.kind = S5_ADDR_IPV6, .port = (uint16_t)random()};
        char text[INET6_ADDRSTRLEN], want[80];
        for (int o = 0; o < 16; o++)
            a.octets[o] = random() % 3 ? 0 : (uint8_t)random();
        snprintf(want, sizeof want, "[%s]:%u", inet_ntop(AF_INET6, a.octets, text, sizeof text),
                 a.port);
        expect_text(&a, want);
    }
}

static struct sockaddr_in6 make_in6(const char *text, uint16_t port, uint32_t scope)
{
    struct sockaddr_in6 sa = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope};
    cr_assert_eq(inet_pton(AF_INET6, text, &sa.sin6_addr), 1);
    return sa;
}

static int convert_sockaddr(struct s5_addr *ret, const void *sa, socklen_t len)
{
    return s5_addr_from_sockaddr(ret, (const void *)edge_copy(sa, len), len);
}

Test(addr, from_an_ipv4_sockaddr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(443)};
    cr_assert_eq(inet_pton(AF_INET, "192.0.2.7", &sa.sin_addr), 1);
    struct s5_addr a;
    memset(&a, 0xa5, sizeof a);
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), 0);
    expect_text(&a, "192.0.2.7:443");
    cr_assert_eq(a.scope, 0);
    cr_assert_eq(a.name_len, 0);
    for (socklen_t len = 0; len < sizeof sa; len++)
        cr_expect_eq(convert_sockaddr(&a, &sa, len), -EINVAL, "%u", len);
}

Test(addr, from_an_ipv6_sockaddr)
{
    struct s5_addr a;
    struct sockaddr_in6 sa = make_in6("2001:db8::5", 53, 9);
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), 0);
    expect_text(&a, "[2001:db8::5]:53");
    cr_assert_eq(a.scope, 0, "a global address has no scope");
    sa = make_in6("fe80::5", 53, 9);
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), 0);
    cr_assert_eq(a.scope, 9);
    for (socklen_t len = 24; len < sizeof sa; len++) { /* the kernel accepts it, too */
        cr_expect_eq(convert_sockaddr(&a, &sa, len), 0);
        cr_expect_eq(a.scope, 0);
    }
    for (socklen_t len = 0; len < 24; len++)
        cr_expect_eq(convert_sockaddr(&a, &sa, len), -EINVAL, "%u", len);
}

Test(addr, a_mapped_address_is_ipv4)
{
    struct s5_addr a;
    struct sockaddr_in6 sa = make_in6("::ffff:127.0.0.1", 53, 9);
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), 0);
    cr_assert_eq(a.kind, S5_ADDR_IPV4);
    expect_text(&a, "127.0.0.1:53");
    cr_assert(s5_addr_is_loopback(&a));
    sa = make_in6("::127.0.0.1", 53, 0);
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), 0);
    cr_assert_eq(a.kind, S5_ADDR_IPV6, "a compatible address is not a mapped one");
}

Test(addr, other_families_are_refused_and_nothing_is_touched)
{
    struct s5_addr a, before;
    memset(&a, 0x5a, sizeof a);
    before = a;
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), -EAFNOSUPPORT);
    cr_assert_eq(convert_sockaddr(&a, &sa, 2), -EAFNOSUPPORT);
    cr_assert_eq(convert_sockaddr(&a, &sa, 1), -EINVAL);
    sa.ss_family = AF_UNSPEC;
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof sa), -EAFNOSUPPORT);
    sa.ss_family = AF_INET6;
    cr_assert_eq(convert_sockaddr(&a, &sa, sizeof(struct sockaddr_in)), -EINVAL);
    cr_assert_eq(s5_addr_from_sockaddr(&a, NULL, sizeof sa), -EINVAL);
    cr_assert_eq(memcmp(&a, &before, sizeof a), 0);
}

Test(addr, to_a_sockaddr_and_back)
{
    static const struct {
        const char *text;
        int family;
        socklen_t len;
    } cases[] = {
        {"192.0.2.1", AF_INET, sizeof(struct sockaddr_in)},
        {"192.0.2.1", AF_INET6, sizeof(struct sockaddr_in6)},
        {"2001:db8::1", AF_INET6, sizeof(struct sockaddr_in6)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s5_addr a = parse_addr(cases[i].text, 8080), back;
        struct sockaddr_storage sa;
        socklen_t len = 0;
        memset(&sa, 0xff, sizeof sa);
        cr_assert_eq(s5_addr_to_sockaddr(&a, cases[i].family, &sa, &len), 0);
        cr_expect_eq(sa.ss_family, cases[i].family);
        cr_expect_eq(len, cases[i].len);
        cr_expect_eq(convert_sockaddr(&back, &sa, len), 0);
        cr_expect(s5_addr_equal(&a, &back));
    }
    struct s5_addr a = parse_addr("192.0.2.1", 8080);
    struct sockaddr_storage sa;
    socklen_t len;
    cr_assert_eq(s5_addr_to_sockaddr(&a, AF_INET6, &sa, &len), 0);
    cr_assert(IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&sa)->sin6_addr));
    cr_assert_eq(((struct sockaddr_in6 *)&sa)->sin6_port, htons(8080));
    a = parse_addr("fe80::1", 1);
    a.scope = 3;
    cr_assert_eq(s5_addr_to_sockaddr(&a, AF_INET6, &sa, &len), 0);
    cr_assert_eq(((struct sockaddr_in6 *)&sa)->sin6_scope_id, 3);
}

Test(addr, addresses_without_a_sockaddr)
{
    struct sockaddr_storage sa, before;
    socklen_t len = 77;
    memset(&sa, 0x5a, sizeof sa);
    before = sa;
    struct s5_addr none = {0}, name = parse_addr("name", 1), v6 = parse_addr("::1", 1),
                   v4 = parse_addr("1.2.3.4", 1);
    cr_expect_eq(s5_addr_to_sockaddr(&none, AF_INET, &sa, &len), -EAFNOSUPPORT);
    cr_expect_eq(s5_addr_to_sockaddr(&name, AF_INET, &sa, &len), -EAFNOSUPPORT);
    cr_expect_eq(s5_addr_to_sockaddr(&name, AF_INET6, &sa, &len), -EAFNOSUPPORT);
    cr_expect_eq(s5_addr_to_sockaddr(&v6, AF_INET, &sa, &len), -EAFNOSUPPORT);
    cr_expect_eq(s5_addr_to_sockaddr(&v4, AF_UNIX, &sa, &len), -EAFNOSUPPORT);
    cr_expect_eq(memcmp(&sa, &before, sizeof sa), 0);
    cr_expect_eq(len, 77);
}

Test(addr, equality_compares_kind_address_and_port)
{
    static const char *const texts[] = {"1.2.3.4", "1.2.3.5", "::1",  "::2", "name", "name2",
                                        "0.0.0.0", "::",      "nbme", "n",   "1.2.3"};
    size_t n = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            struct s5_addr a = parse_addr(texts[i], 1), b = parse_addr(texts[j], 1);
            cr_expect_eq(s5_addr_equal(&a, &b), i == j, "%s %s", texts[i], texts[j]);
            b.port = 2;
            cr_expect_not(s5_addr_equal(&a, &b));
        }
    struct s5_addr a = parse_addr("Example.ORG", 1), b = parse_addr("eXAMPLE.org", 1);
    cr_expect(s5_addr_equal(&a, &b));
    a = parse_addr("a@b", 1), b = parse_addr("a`b", 1);
    cr_expect_not(s5_addr_equal(&a, &b), "letters alone have two cases");
    a = parse_addr("a[b", 1), b = parse_addr("a{b", 1);
    cr_expect_not(s5_addr_equal(&a, &b));
}

Test(addr, loopback_and_multicast)
{
    static const struct {
        const char *text;
        bool loopback, multicast;
    } cases[] = {
        {"127.0.0.1", true, false},
        {"127.255.255.255", true, false},
        {"126.255.255.255", false, false},
        {"128.0.0.0", false, false},
        {"0.0.0.0", true, false},
        {"0.0.0.1", false, false},
        {"::", true, false},
        {"::1", true, false},
        {"::2", false, false},
        {"1::1", false, false},
        {"::ffff:127.0.0.1", true, false},
        {"224.0.0.0", false, true},
        {"239.255.255.255", false, true},
        {"223.255.255.255", false, false},
        {"240.0.0.0", false, false},
        {"255.255.255.255", false, true},
        {"255.255.255.254", false, false},
        {"ff00::", false, true},
        {"ff02::1", false, true},
        {"fe80::1", false, false},
        {"localhost", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s5_addr a = parse_addr(cases[i].text, 1);
        cr_expect_eq(s5_addr_is_loopback(&a), cases[i].loopback, "%s", cases[i].text);
        cr_expect_eq(s5_addr_is_multicast(&a), cases[i].multicast, "%s", cases[i].text);
    }
    struct s5_addr none = {0};
    cr_expect_not(s5_addr_is_loopback(&none));
    cr_expect_not(s5_addr_is_multicast(&none));
}
