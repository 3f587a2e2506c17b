/* DNS messages: what is accepted as a query, and the answers to it. */
#include "dns.h"
#include "edge.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>

static uint8_t msg[600];

static size_t make_query(const char *name, uint16_t type)
{
    int n = s5_dns_ask(name, type, S5_DNS_IN, 0x1234, msg, sizeof msg);
    cr_assert_gt(n, 0, "%s", name);
    return (size_t)n;
}

static struct s5_dns_query read_back(size_t n)
{
    struct s5_dns_query q;
    cr_assert_eq(s5_dns_read(edge_copy(msg, n), n, &q), 0);
    return q;
}

Test(dns, a_query_and_its_answer)
{
    const uint8_t address[4] = {198, 18, 0, 5};
    uint8_t answer[128];
    size_t n = make_query("Some.Example", S5_DNS_A);
    struct s5_dns_query q = read_back(n);
    cr_assert(q.name.kind == S5_ADDR_NAME && strcmp(q.name.name, "Some.Example") == 0);
    cr_assert(q.id == 0x1234 && q.type == S5_DNS_A && q.class == S5_DNS_IN && q.end == n);
    cr_assert(!q.edns && q.capacity == S5_DNS_UDP_MAX);
    size_t len = s5_dns_answer(msg, &q, S5_DNS_NOERROR, address, 4, answer, sizeof answer);
    cr_assert_eq(len, n + 12 + 4);
    cr_assert_arr_eq(answer, ((const uint8_t[]){0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}),
                     12);
    cr_assert_arr_eq(answer + 12, msg + 12, n - 12);
    cr_assert_arr_eq(answer + n, ((const uint8_t[]){0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4}), 12);
    cr_assert_arr_eq(answer + n + 12, address, 4);
    for (size_t capacity = 0; capacity < len; capacity++)
        cr_assert_eq(s5_dns_answer(msg, &q, S5_DNS_NOERROR, address, 4, edge(capacity), capacity), 0);
    len = s5_dns_answer(msg, &q, S5_DNS_REFUSED, NULL, 0, answer, sizeof answer);
    cr_assert(len == n && answer[3] == (0x80 | S5_DNS_REFUSED) && answer[7] == 0);
    cr_assert(s5_dns_cut(msg, &q, answer, sizeof answer) == n && (answer[2] & 2));
}

Test(dns, edns_is_answered_with_edns)
{
    const uint8_t opt[] = {0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0};
    uint8_t answer[128];
    size_t n = make_query("x.example", S5_DNS_AAAA);
    memcpy(msg + n, opt, sizeof opt);
    msg[11] = 1;
    struct s5_dns_query q = read_back(n + sizeof opt);
    cr_assert(q.edns && q.capacity == 4096 && q.end == n);
    cr_assert_eq(s5_dns_answer(msg, &q, S5_DNS_NOERROR, NULL, 0, answer, sizeof answer), n + 11);
    cr_assert(answer[11] == 1 && answer[n + 2] == 41);
    msg[n + 2] = 250; /* for example a signature */
    cr_assert_not(read_back(n + sizeof opt).edns);
}

Test(dns, truncated_queries_are_refused)
{
    size_t n = make_query("a.b.example", S5_DNS_A);
    struct s5_dns_query q;
    for (size_t len = 0; len < n; len++)
        cr_assert_eq(s5_dns_read(edge_copy(msg, len), len, &q), -EINVAL, "%zu", len);
}

Test(dns, invalid_queries_are_refused)
{
    struct s5_dns_query q;
    size_t n = make_query("a.example", S5_DNS_A);
    const struct {
        unsigned at;
        uint8_t value;
    } bad[] = {{2, 0x80}, {2, 0x28}, {5, 0}, {5, 2}, {4, 1}, {12, 0xc0}, {12, 64}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t before = msg[bad[i].at];
        msg[bad[i].at] = bad[i].value;
        cr_assert_eq(s5_dns_read(edge_copy(msg, n), n, &q), -EINVAL, "case %zu", i);
        msg[bad[i].at] = before;
    }
    cr_assert_eq(s5_dns_read(msg, n, &q), 0);
}

Test(dns, names_of_all_sizes)
{
    char name[260];
    struct s5_dns_query q;
    for (size_t len = 1; len <= 253; len++) {
        for (size_t i = 0; i < len; i++)
            name[i] = i % 50 == 49 && i != len - 1 ? '.' : 'a';
        name[len] = 0;
        size_t n = make_query(name, S5_DNS_A);
        q = read_back(n);
        cr_assert_str_eq(q.name.name, name);
    }
    memset(name, 'a', 254), name[254] = 0;
    for (size_t i = 49; i < 254; i += 50)
        name[i] = '.';
    cr_assert_eq(s5_dns_ask(name, 1, 1, 1, msg, sizeof msg), -EINVAL, "254 octets");
    memset(name, 'a', 64), name[64] = 0;
    cr_assert_eq(s5_dns_ask(name, 1, 1, 1, msg, sizeof msg), -EINVAL, "a label of 64");
    const char *const bad[] = {".", "a..b", ".a", "a.."};
    for (size_t i = 1; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(s5_dns_ask(bad[i], 1, 1, 1, msg, sizeof msg), -EINVAL, "%s", bad[i]);
    size_t n = make_query(".", 2);
    cr_assert(n == 17 && read_back(n).name.kind == S5_ADDR_NONE, "the root");
    cr_assert_str_eq((q = read_back(make_query("1.2.3.4", 1))).name.name, "1.2.3.4");
    n = make_query("a.b", 1);
    msg[13] = '.';
    cr_assert_eq(read_back(n).name.kind, S5_ADDR_NONE, "a dot in a label");
    msg[13] = 0;
    cr_assert_eq(read_back(n).name.kind, S5_ADDR_NONE, "a zero in a label");
}

Test(dns, addresses_as_names)
{
    static const struct {
        const char *name, *address;
    } cases[] = {
        {"5.0.18.198.in-addr.arpa", "198.18.0.5"},
        {"255.255.255.255.IN-ADDR.ARPA", "255.255.255.255"},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.5.0.5.e.1.b.8.4.c.d.F.ip6.arpa",
         "fdc4:8b1e:5053::1"},
        {"256.0.0.1.in-addr.arpa", NULL},
        {"0.0.1.in-addr.arpa", NULL},
        {"1.0.0.0.1.in-addr.arpa", NULL},
        {"..0.1.in-addr.arpa", NULL},
        {"in-addr.arpa", NULL},
        {".in-addr.arpa", NULL},
        {"1.0.ip6.arpa", NULL},
        {"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.5.0.5.e.1.b.8.4.c.d.f.ip6.arpa", NULL},
        {"some.example", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s5_addr name = {.kind = S5_ADDR_NAME}, got, expected;
        name.name_len = (uint8_t)strlen(cases[i].name);
        strcpy(name.name, cases[i].name);
        bool found = s5_dns_reverse(&name, &got);
        cr_assert_eq(found, cases[i].address != NULL, "%s", cases[i].name);
        if (!found)
            continue;
        s5_addr_parse(&expected, cases[i].address, strlen(cases[i].address), 0);
        cr_assert(s5_addr_equal(&got, &expected), "%s", cases[i].name);
    }
}
