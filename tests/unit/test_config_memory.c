/* What was reserved can be allocated when memory is exhausted. A reservation that is impossible fails. */
#include "config_memory.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A sanitizer has its own malloc(). */
#ifndef __SANITIZE_ADDRESS__
/* Limits the address space to its present size. Returns the previous limit. */
static struct rlimit exhaust_memory(void)
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

/* Returns how much can be allocated in pieces of a parser's size, up to ENOUGH. */
static size_t allocate_pieces(void)
{
    enum { SIZE = 480 }; /* without the overhead of malloc() */
    size_t n = 0;
    for (void *p; n < ENOUGH && (p = malloc(SIZE)); n += SIZE)
        *(volatile char *)p = 1;
    return n;
}

Test(config_memory, reserved_memory_can_be_allocated)
{
    void *reserve = s5_config_memory_begin(LEN, SECTIONS);
    cr_assert_not_null(reserve);
    struct rlimit before = exhaust_memory();
    size_t n = allocate_pieces();
    setrlimit(RLIMIT_AS, &before);
    cr_assert_geq(n, ENOUGH, "%zu octets", n);
    s5_config_memory_end(reserve);
}

Test(config_memory, less_is_available_without_it)
{
    struct rlimit before = exhaust_memory();
    size_t n = allocate_pieces();
    setrlimit(RLIMIT_AS, &before);
    cr_assert_lt(n, ENOUGH, "%zu octets", n);
}

Test(config_memory, an_impossible_reservation_fails)
{
    struct rlimit before = exhaust_memory();
    size_t n = allocate_pieces();
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
