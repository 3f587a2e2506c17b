/* Moving octets within arrays of buffers, compared with the same operation on a single buffer. */
#include "scatter.h"
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

enum { ALL = 64 };

/* Cuts ALL octets into buffers of the lengths CUTS, each in separate memory. Returns the number of buffers. */
static size_t cut_octets(uint8_t memory[][ALL], struct iovec *iov, const size_t *cuts)
{
    size_t n = 0, at = 0;
    for (; at < ALL; n++) {
        size_t len = cuts[n] < ALL - at ? cuts[n] : ALL - at;
        iov[n] = (struct iovec){memory[n], len};
        for (size_t i = 0; i < len; i++)
            memory[n][i] = (uint8_t)(at + i);
        at += len;
    }
    return n;
}

Test(scatter, moves_like_memmove)
{
    static const size_t cuts[][ALL] = {
        {ALL}, {10, 0, 1, 3, ALL}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ALL}, {22, 5, 5, 0, 0, 7, ALL}, {0, ALL},
    };
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (size_t to = 0; to < ALL; to += 3)
            for (size_t from = 0; from < ALL; from += 5)
                for (size_t len = 0; len <= ALL - (to > from ? to : from); len += 7) {
                    uint8_t memory[16][ALL], want[ALL], have[ALL];
                    struct iovec iov[16];
                    size_t n = cut_octets(memory, iov, cuts[c]);
                    for (size_t i = 0; i < ALL; i++)
                        want[i] = (uint8_t)i;
                    memmove(want + to, want + from, len);
                    s5_scatter_move(iov, n, to, from, len);
                    cr_assert_eq(s5_scatter_gather(iov, n, have, ALL), ALL);
                    cr_assert_eq(memcmp(have, want, ALL), 0, "cuts %zu: %zu from %zu to %zu", c, len,
                                 from, to);
                }
}

Test(scatter, writes_as_much_as_fits)
{
    uint8_t memory[16][ALL], have[ALL];
    struct iovec iov[16];
    static const size_t cuts[ALL] = {3, 0, 4, ALL};
    size_t n = cut_octets(memory, iov, cuts);
    cr_expect_eq(s5_scatter_size(iov, n), ALL);
    cr_expect_eq(s5_scatter_put(iov, n, 60, "abcdefgh", 8), 4);
    cr_expect_eq(s5_scatter_put(iov, n, 2, "xyz", 3), 3);
    cr_expect_eq(s5_scatter_put(iov, n, ALL, "x", 1), 0);
    s5_scatter_gather(iov, n, have, ALL);
    cr_expect(memcmp(have, "\0\1xyz\5", 6) == 0 && memcmp(have + 60, "abcd", 4) == 0);
    cr_expect_eq(s5_scatter_gather(iov, n, have, 5), 5);
    cr_expect_eq(s5_scatter_gather(NULL, 0, have, 5), 0);
}

Test(scatter, stops_at_the_end_of_the_buffers)
{
    uint8_t memory[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    struct iovec iov[2] = {{memory[0], 4}, {memory[1], 4}};
    s5_scatter_move(iov, 2, 1, 6, 5); /* two of the five octets exist */
    cr_assert_eq(memcmp(memory, ((uint8_t[]){1, 7, 8, 4, 5, 6, 7, 8}), 8), 0);
    s5_scatter_move(iov, 2, 6, 0, 5);
    cr_assert_eq(memcmp(memory, ((uint8_t[]){1, 7, 8, 4, 5, 6, 7, 8}), 8), 0);
}
