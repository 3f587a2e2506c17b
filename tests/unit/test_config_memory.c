/* What was asked for can be allocated when there is no more to be had; what cannot be had is told. */
#include "config_memory.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A sanitizer's malloc() is another one. */
#ifndef __SANITIZE_ADDRESS__
/* No page more than there is now; the limit that was. */
static struct rlimit exhaust(void)
{
    unsigned long pages = 0;
    struct rlimit before, now;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    now = before;
    now.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE);
    cr_assert_eq(setrlimit(RLIMIT_AS, &now), 0);
    return before;
}

enum { LEN = 20000, SECTIONS = 10, ENOUGH = 65536 + 16 * LEN + 8192 * SECTIONS };

/* How much can be had in pieces of a parser's size, up to ENOUGH. */
static size_t had(void)
{
    enum { SIZE = 480 }; /* and what malloc() adds */
    size_t n = 0;
    for (void *p; n < ENOUGH && (p = malloc(SIZE)); n += SIZE)
        *(volatile char *)p = 1;
    return n;
}

Test(config_memory, what_was_begun_can_be_had)
{
    void *reserve = s5_config_memory_begin(LEN, SECTIONS);
    cr_assert_not_null(reserve);
    struct rlimit before = exhaust();
    size_t n = had();
    setrlimit(RLIMIT_AS, &before);
    cr_assert_geq(n, ENOUGH, "%zu octets", n);
    s5_config_memory_end(reserve);
}

Test(config_memory, without_it_there_is_less)
{
    struct rlimit before = exhaust();
    size_t n = had();
    setrlimit(RLIMIT_AS, &before);
    cr_assert_lt(n, ENOUGH, "%zu octets", n);
}

Test(config_memory, what_cannot_be_had_is_told)
{
    struct rlimit before = exhaust();
    size_t n = had();
    void *reserve = s5_config_memory_begin(1 << 20, 1);
    setrlimit(RLIMIT_AS, &before);
    cr_assert_lt(n, ENOUGH);
    cr_assert_null(reserve);
}
#endif

Test(config_memory, an_empty_file_needs_some)
{
    void *reserve = s5_config_memory_begin(0, 0);
    cr_assert_not_null(reserve);
    s5_config_memory_end(reserve);
}
