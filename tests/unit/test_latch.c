/* A read returns the value of one write, in every order in which a writer and two readers can be interleaved. */
#include "model.h"
#include "latch.h"

struct value {
    uint64_t words[S5_LATCH_WORDS];
};

static struct s5_latch latch;

static struct value make_value(uint64_t n)
{
    return (struct value){{n, n, n, n}};
}

static uint64_t read_one(void)
{
    struct value v;
    s5_latch_read(&latch, &v, sizeof v);
    for (unsigned i = 1; i < S5_LATCH_WORDS; i++)
        cr_assert_eq(v.words[i], v.words[0], "torn");
    return v.words[0];
}

static void before(void)
{
    struct value v = make_value(1);
    memset(&latch, 0, sizeof latch);
    s5_latch_write(&latch, &v, sizeof v);
}

static void run_body(unsigned thread)
{
    if (thread == 0)
        for (uint64_t n = 2; n <= 4; n++) {
            struct value v = make_value(n);
            s5_latch_write(&latch, &v, sizeof v);
        }
    else
        for (uint64_t last = 0, now; last < 2; last++, last = now > last ? now : last)
            cr_assert_geq(now = read_one(), last - (last > 0), "what was written before");
}

static void check(void)
{
}

static void after(void)
{
    cr_assert_eq(read_one(), 4);
}

Test(latch, a_read_returns_one_write)
{
    model_explore("a writer and two readers", 3, 3, before, run_body, check, after);
    cr_assert_gt(model.schedules, 10000);
}

Test(latch, an_interrupted_write_is_not_read)
{
    before();
    latch.copies[(latch.count + 1) & 1][0] = 77;
    cr_assert_eq(read_one(), 1);
    struct value v = make_value(2);
    s5_latch_write(&latch, &v, sizeof v);
    cr_assert_eq(read_one(), 2);
    uint64_t part = 0;
    s5_latch_read(&latch, &part, 3);
    cr_assert_eq(part, 2);
}
