/* What all targets have in common. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

/* Returns a copy of DATA in memory of exactly N octets, so that a sanitizer detects accesses beyond its ends. The
 * caller frees it. */
static inline uint8_t *exact_copy(const void *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n)
        memcpy(copy, data, n);
    return copy;
}

#endif
