/* A server that sends any octets in place of messages of RFC 1961, split anywhere. The provider accepts every message
 * with the right checksum. The invariants of the link hold. The first octets of the input select the setup and the
 * splits. */
#include "../unit/fake_gss.h"
#include "fuzz.h"

static struct s5_gss_buffers buffers;
static struct s5_gss_link l;
static struct fake fake;

static void check_link(void)
{
    size_t left, n, need = s5_gss_link_need(&l);
    s5_gss_link_out(&l, &left);
    enum s5_session_state state = s5_gss_link_state(&l);
    CHECK((state == S5_SESSION_FAILED) == (s5_gss_link_error(&l) < 0));
    CHECK(*s5_gss_link_phase(&l));
    CHECK(l.in_len <= sizeof buffers.in && l.out_len <= sizeof buffers.out);
    const uint8_t *rest = s5_gss_link_surplus(&l, &n);
    CHECK(!n || (rest >= buffers.in && rest + n <= buffers.in + sizeof buffers.in));
    if (state == S5_SESSION_DONE || state == S5_SESSION_FAILED || state == S5_SESSION_BOUND)
        CHECK(need == 0);
    else
        CHECK(need > 0 || left > 0);
}

/* Gives the message at the front of the input the expected number and a checksum that fits. An incomplete message is
 * left as it is. */
static void fix_message(uint8_t *at, size_t n)
{
    if (n < 7 || at[0] != 1 || (at[1] != 2 && at[1] != 3))
        return;
    size_t len = (size_t)(at[2] << 8 | at[3]);
    if (len < 3 || len > n - 4)
        return;
    at[4] = fake.expected;
    at[5] &= 1;
    at[6] = fake_sum(at + 7, len - 3, (uint8_t)(at[4] + at[5]));
}

static bool start_link(const uint8_t *head)
{
    static const struct s5_addr dst = {.kind = S5_ADDR_IPV4, .port = 9};
    struct s5_session_setup setup = {.command = 1 + head[0] % 3, .dst = &dst, .n_methods = 1,
                                     .methods = {S5_METHOD_GSSAPI}, .pipeline = head[0] >> 7};
    struct s5_gss_setup how = {&fake_provider, &fake, &buffers, head[1] % 3, head[1] >> 7};
    fake = (struct fake){1 + (head[1] >> 2 & 3), head[1] >> 4 & 1, 0, 0};
    return s5_gss_link_start(&l, &setup, &how) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || !start_link(data))
        return 0;
    size_t chunk = data[2] % 37 + 1u, left = size - 3, out;
    bool repair = data[2] >> 7;
    uint8_t *own = exact_copy(data + 3, left), *at = own;
    for (check_link(); l.session.state < S5_SESSION_DONE; check_link()) {
        s5_gss_link_out(&l, &out);
        if (out) {
            s5_gss_link_sent(&l, out < chunk ? out : chunk);
            continue;
        }
        if (l.session.state == S5_SESSION_BOUND) {
            s5_gss_link_next_reply(&l);
            continue;
        }
        size_t n = s5_gss_link_need(&l);
        n = n < chunk ? n : chunk;
        n = n < left ? n : left;
        if (!n)
            break;
        if (repair && !l.in_len)
            fix_message(at, left);
        uint8_t *copy = exact_copy(at, n);
        CHECK(s5_gss_link_feed(&l, copy, n) == s5_gss_link_error(&l));
        free(copy);
        at += n;
        left -= n;
    }
    if (l.session.state < S5_SESSION_DONE)
        CHECK(s5_gss_link_eof(&l) < 0);
    check_link();
    free(own);
    return 0;
}
