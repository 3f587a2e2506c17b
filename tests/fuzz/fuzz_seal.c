/* Messages are sealed and unsealed, and messages of any content are unsealed: what is accepted is what would have been
 * sent. The first octet selects the level and the next number of the provider. */
#include "../unit/fake_gss.h"
#include "fuzz.h"

static struct fake fake;

static struct s5_seal make_seal(uint8_t pick)
{
    fake = (struct fake){.sent = pick >> 1, .expected = pick >> 1};
    return (struct s5_seal){&fake_provider, &fake, pick & 1 ? S5_SEAL_CONFIDENTIALITY : S5_SEAL_INTEGRITY};
}

/* Seals DATA in messages of PART octets, and unseals them. */
static void check_round_trip(uint8_t pick, const uint8_t *data, size_t size, size_t part)
{
    struct s5_seal seal = make_seal(pick);
    uint8_t back[256];
    for (size_t at = 0; at < size; at += part) {
        size_t n = size - at < part ? size - at : part, len = S5_GSS_HEAD + 3 + n;
        uint8_t *message = exact_copy("", 0);
        for (size_t buffers = 0; buffers < len; buffers += 1 + buffers / 2) {
            message = realloc(message, buffers + 1);
            CHECK(message && s5_seal_wrap(&seal, data + at, n, message, buffers) == -ENOBUFS);
        }
        free(message);
        CHECK((message = malloc(len)));
        CHECK(s5_seal_wrap(&seal, data + at, n, message, len) == (int)len);
        CHECK(s5_gss_frame_len(message, S5_GSS_HEAD, S5_GSS_DATA) == (int)len);
        CHECK(s5_seal_unwrap(&seal, message, len - 1, back, sizeof back) == -EPROTO);
        if (at / part & 1) /* in place, as for the stream */
            CHECK(s5_seal_unwrap(&seal, message, len, message, len) == (int)n &&
                  memcmp(message, data + at, n) == 0);
        else
            CHECK(s5_seal_unwrap(&seal, message, len, back, sizeof back) == (int)n &&
                  memcmp(back, data + at, n) == 0);
        free(message);
    }
}

/* The length of a message does not change when more of its octets are available. */
static void check_frame_len(const uint8_t *data, size_t size)
{
    static const enum s5_gss_mtyp types[] = {S5_GSS_CONTEXT, S5_GSS_LEVEL, S5_GSS_DATA};
    for (size_t t = 0; t < 3; t++) {
        int before = 0;
        for (size_t n = 0; n <= size && n < 9; n++) {
            int len = s5_gss_frame_len(data, n, types[t]);
            CHECK(before == 0 || len == before);
            before = len;
        }
        if (before > 0) {
            uint8_t head[S5_GSS_HEAD];
            s5_gss_frame_head(head, types[t], (size_t)before - S5_GSS_HEAD);
            CHECK(memcmp(head, data, sizeof head) == 0);
        }
    }
}

/* Unseals DATA, a message of any content. */
static void check_unwrap(uint8_t pick, const uint8_t *data, size_t size)
{
    struct s5_seal seal = make_seal(pick);
    uint8_t *plain = exact_copy(data, size), *again = exact_copy(data, size);
    int n = s5_seal_unwrap(&seal, data, size, plain, size);
    struct fake after = fake;
    seal = make_seal(pick);
    int datagram = s5_seal_unwrap_datagram(&seal, data, size, again, size);
    CHECK(n == -EPROTO || (n == datagram && after.expected == (uint8_t)((pick >> 1) + 1)));
    if (n > 0) {
        CHECK(memcmp(plain, again, (size_t)n) == 0);
        seal = make_seal(pick);
        if (data[5] == (pick & 1)) /* a message with more protection than agreed is accepted, too */
            CHECK(s5_seal_wrap(&seal, plain, (size_t)n, again, size) == (int)size &&
                  memcmp(again, data, size) == 0);
    }
    free(plain);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t *copy = exact_copy(data + 2, size - 2);
    check_round_trip(data[0], copy, size - 2, data[1] + 1u);
    check_frame_len(copy, size - 2);
    check_unwrap(data[0], copy, size - 2);
    free(copy);
    return 0;
}
