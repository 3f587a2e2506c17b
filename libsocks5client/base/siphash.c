/* SipHash after Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). The message is split into words
 * of eight octets, least significant first. Each word passes two rounds. The last word contains the length. Four
 * rounds finish the hash. */
#include "siphash.h"

static uint64_t rotate_left(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

static void run_rounds(uint64_t v[4], unsigned n)
{
    while (n--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate_left(v[1], 13) ^ v[0];
        v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] = rotate_left(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = rotate_left(v[3], 21) ^ v[0];
        v[1] = rotate_left(v[1], 17) ^ v[2];
        v[2] = rotate_left(v[2], 32);
    }
}

static void absorb_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    run_rounds(v, 2);
    v[0] ^= word;
}

/* Reads up to eight octets, least significant first. */
static uint64_t read_word(const uint8_t *at, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)at[i] << 8 * i;
    return word;
}

uint64_t s5_siphash_of(const uint64_t key[2], const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8)
        absorb_word(v, read_word(at, 8));
    absorb_word(v, read_word(at, left) | (uint64_t)len << 56);
    v[2] ^= 0xff;
    run_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
