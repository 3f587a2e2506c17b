/* Fragments in every order, the timer to the nanosecond, and the limits of a queue. */
#include "fragments.h"
#include "udp_header.h"
#include <criterion/criterion.h>
#include <stdlib.h>

static struct s5_fragments *make_fragments(void)
{
    struct s5_fragments *f = calloc(1, sizeof *f);
    cr_assert(f);
    return f;
}

static struct s5_addr make_source(unsigned n)
{
    struct s5_addr a;
    const uint8_t octets[4] = {192, 0, 2, (uint8_t)n};
    s5_addr_from_octets(&a, octets, 4, 7);
    return a;
}

/* Feeds a script such as "1=a 2=b 3!=c": a position, "!" for the last fragment, "=", and an octet of data.
 * Returns the last datagram that was completed, or "". */
static const char *feed_script(struct s5_fragments *f, const char *script)
{
    static char out[64];
    struct s5_addr from = make_source(1);
    out[0] = 0;
    for (const char *at = script; *at;) {
        char *end;
        uint8_t frag = (uint8_t)strtoul(at, &end, 10);
        const uint8_t *whole;
        size_t len;
        bool last = *end == '!';
        end += last;
        if (s5_fragments_feed(f, &from, frag | (last ? S5_UDP_HEADER_LAST : 0), end + 1, 1, 100, &whole,
                              &len)) {
            memcpy(out, whole, len);
            out[len] = 0;
        }
        at = end + 2;
        while (*at == ' ')
            at++;
    }
    return out;
}

Test(fragments, orders)
{
    static const struct {
        const char *script, *want;
    } rows[] = {
        {"1=a 2=b 3!=c", "abc"},
        {"1!=a", "a"},
        {"1=a 3!=c", ""},
        {"1=a 3=c 2=b 3!=c", ""},
        {"2=b 1=a 3!=c", ""},
        {"2!=b", ""},
        {"1=x 2=y 1=a 2!=b", "ab"},
        {"1=x 2=y 3=z 2=b 1=a 2!=b", "ab"},
        {"1=a 1=a 2=b 2=b 3!=c", "abc"},
        {"1=a 2!=b 2!=b", "ab"},
        {"1=a 0=w 2!=b", ""},
        {"1=a 2=b 1!=o", "o"},
        {"0!=x 1=a 2!=b", "ab"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s5_fragments *f = make_fragments();
        cr_expect_str_eq(feed_script(f, rows[i].script), rows[i].want, "%s", rows[i].script);
        free(f);
    }
}

Test(fragments, the_timer_starts_at_the_first)
{
    struct s5_fragments *f = make_fragments();
    struct s5_addr a = make_source(1);
    const uint8_t *whole;
    size_t len;
    uint64_t end = 1000 + S5_FRAGMENTS_TIMEOUT;
    cr_assert_geq(S5_FRAGMENTS_TIMEOUT, 5000000000ull);
    s5_fragments_feed(f, &a, 1, "a", 1, 1000, &whole, &len);
    s5_fragments_feed(f, &a, 2, "b", 1, end - 2, &whole, &len);
    cr_expect_eq(s5_fragments_feed(f, &a, 0x83, "c", 1, end - 1, &whole, &len), 1);
    cr_expect(len == 3 && memcmp(whole, "abc", 3) == 0);
    s5_fragments_feed(f, &a, 1, "a", 1, 1000, &whole, &len);
    cr_expect_eq(s5_fragments_feed(f, &a, 0x82, "b", 1, end, &whole, &len), 0);
    free(f);
}

Test(fragments, each_source_has_its_own_queue)
{
    struct s5_fragments *f = make_fragments();
    const uint8_t *whole;
    size_t len;
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES + 1; i++) {
        struct s5_addr a = make_source(i);
        cr_expect_eq(s5_fragments_feed(f, &a, 1, "a", 1, 100 + i, &whole, &len), 0);
    }
    for (unsigned i = 0; i < S5_FRAGMENTS_QUEUES + 1; i++) {
        struct s5_addr a = make_source(i);
        cr_expect_eq(s5_fragments_feed(f, &a, 0x82, "b", 1, 200, &whole, &len), i > 0, "%u", i);
    }
    free(f);
}

Test(fragments, the_size_of_a_datagram_is_limited)
{
    struct s5_fragments *f = make_fragments();
    static uint8_t data[S5_FRAGMENTS_MAX];
    struct s5_addr a = make_source(1);
    const uint8_t *whole;
    size_t len;
    s5_fragments_feed(f, &a, 1, data, 65000, 1, &whole, &len);
    cr_expect_eq(s5_fragments_feed(f, &a, 0x82, data, 535, 1, &whole, &len), 1);
    cr_expect_eq(len, 65535);
    s5_fragments_feed(f, &a, 1, data, 65000, 1, &whole, &len);
    cr_expect_eq(s5_fragments_feed(f, &a, 0x82, data, 536, 1, &whole, &len), 0);
    cr_expect_eq(s5_fragments_feed(f, &a, 0x82, data, 1, 1, &whole, &len), 0);
    free(f);
}

Test(fragments, all_127_fragments_without_data)
{
    struct s5_fragments *f = make_fragments();
    struct s5_addr a = make_source(1);
    const uint8_t *whole;
    size_t len = 1;
    for (uint8_t i = 1; i < 127; i++)
        cr_expect_eq(s5_fragments_feed(f, &a, i, NULL, 0, 1, &whole, &len), 0);
    cr_expect_eq(s5_fragments_feed(f, &a, 127 | S5_UDP_HEADER_LAST, NULL, 0, 1, &whole, &len), 1);
    cr_expect_eq(len, 0);
    free(f);
}

Test(fragments, cutting)
{
    cr_expect_eq(s5_fragments_count(0, 0), 1);
    cr_expect_eq(s5_fragments_count(100, 100), 1);
    cr_expect_eq(s5_fragments_count(101, 100), 2);
    cr_expect_eq(s5_fragments_count(127 * 100, 100), 127);
    cr_expect_eq(s5_fragments_count(127 * 100 + 1, 100), 0);
    cr_expect_eq(s5_fragments_count(1, 0), 0);
    cr_expect_eq(s5_fragments_frag(0, 1), 0);
    cr_expect_eq(s5_fragments_frag(0, 2), 1);
    cr_expect_eq(s5_fragments_frag(1, 2), 2 | S5_UDP_HEADER_LAST);
}
