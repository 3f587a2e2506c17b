/* A program on this machine that sends any octets to the bridge, split anywhere. */
#include "front.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct front_users users[] = {{0}, {"u", "p", false}, {"u", "p", true}};
    static struct front f;
    if (size < 2)
        return 0;
    const struct front_users *who = &users[data[0] % 3];
    size_t chunk = data[1] + 1u, at = 2, n;
    front_start(&f);
    while (at < size && f.state < FRONT_ASKED) {
        uint8_t *to = front_input(&f, &n);
        CHECK(n > 0);
        n = n < chunk ? n : chunk;
        n = n < size - at ? n : size - at;
        memcpy(to, data + at, n);
        front_took(&f, who, n);
        at += n;
        CHECK(f.out_len <= sizeof f.out && f.in_at <= f.in_len && f.in_len <= sizeof f.in);
        if (data[1] & 1)
            f.out_len = 0;
    }
    if (f.state == FRONT_ASKED) {
        CHECK(f.command >= S5_CONNECT && f.command <= S5_UDP_ASSOCIATE);
        CHECK(!who->indexed || f.server >= 0);
        front_surplus(&f, &n);
        front_reply(&f, 0, 0, &f.dst);
        CHECK(f.out_len <= sizeof f.out);
    }
    return 0;
}
