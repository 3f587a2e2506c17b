/* Sealed messages there and back, and messages of any content: what is accepted is what would have
 * been sent. The first octet picks the level and the provider's next number. */
#include "../unit/fake_gss.h"
#include "fuzz.h"

static struct fake fake;

static struct s5_seal seal_of(uint8_t pick)
{
    fake = (struct fake){.sent = pick >> 1, .expected = pick >> 1};
    return (struct s5_seal){&fake_provider, &fake, pick & 1 ? S5_SEAL_CONFIDENTIALITY : S5_SEAL_INTEGRITY};
}

/* DATA in messages of PART octets. */
static void there_and_back(uint8_t pick, const uint8_t *data, size_t size, size_t part)
{
    struct s5_seal seal = seal_of(pick);
    uint8_t back[256];
    for (size_t at = 0; at < size; at += part) {
        size_t n = size - at < part ? size - at : part, len = S5_GSS_HEAD + 3 + n;
        uint8_t *message = exact_copy("", 0);
        for (size_t room = 0; room < len; room += 1 + room / 2) {
            message = realloc(message, room + 1);
            CHECK(message && s5_seal_wrap(&seal, data + at, n, message, room) == -ENOBUFS);
        }
        free(message);
        CHECK((message = malloc(len)));
        CHECK(s5_seal_wrap(&seal, data + at, n, message, len) == (int)len);
        CHECK(s5_gss_frame_len(message, S5_GSS_HEAD, S5_GSS_DATA) == (int)len);
        CHECK(s5_seal_unwrap(&seal, message, len - 1, back, sizeof back) == -EPROTO);
        if (at / part & 1) /* in place, as the stream does it */
            CHECK(s5_seal_unwrap(&seal, message, len, message, len) == (int)n &&
                  memcmp(message, data + at, n) == 0);
        else
            CHECK(s5_seal_unwrap(&seal, message, len, back, sizeof back) == (int)n &&
                  memcmp(back, data + at, n) == 0);
        free(message);
    }
}

/* What is told of a message never changes when more of it is there. */
static void told(const uint8_t *data, size_t size)
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

/* A message of anybody's. */
static void taken(uint8_t pick, const uint8_t *data, size_t size)
{
    struct s5_seal seal = seal_of(pick);
    uint8_t *plain = exact_copy(data, size), *again = exact_copy(data, size);
    int n = s5_seal_unwrap(&seal, data, size, plain, size);
    struct fake after = fake;
    seal = seal_of(pick);
    int datagram = s5_seal_unwrap_datagram(&seal, data, size, again, size);
    CHECK(n == -EPROTO || (n == datagram && after.expected == (uint8_t)((pick >> 1) + 1)));
    if (n > 0) {
        CHECK(memcmp(plain, again, (size_t)n) == 0);
        seal = seal_of(pick);
        if (data[5] == (pick & 1)) /* more protection than was agreed is taken too */
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
    there_and_back(data[0], copy, size - 2, data[1] + 1u);
    told(copy, size - 2);
    taken(data[0], copy, size - 2);
    free(copy);
    return 0;
}
