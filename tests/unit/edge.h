/* Memory that ends at an inaccessible page: a read or write one octet past its end crashes. */
#ifndef EDGE_H
#define EDGE_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns N octets, at most a page. All calls share one mapping: each call clears the octets of the previous one. */
static inline uint8_t *edge(size_t n)
{
    static uint8_t *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!end) {
        end = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert(end != MAP_FAILED);
        end += page;
        cr_assert(mprotect(end, page, PROT_NONE) == 0);
    }
    cr_assert(n <= page);
    return (uint8_t *)memset(end - page, 0, page) + page - n;
}

/* Like edge(), with a copy of DATA. */
static inline const uint8_t *edge_copy(const void *data, size_t n)
{
    uint8_t *at = edge(n);
    if (n)
        memcpy(at, data, n);
    return at;
}

#endif
