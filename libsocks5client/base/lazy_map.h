/* Tables of process memory that most programs never need. */
#ifndef S5_LAZY_MAP_H
#define S5_LAZY_MAP_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

/* Returns SIZE octets of memory at *AT, initially zero. The first caller maps it; it is never unmapped. NULL: out
 * of memory. Preserves errno. */
static inline void *s5_lazy_map(void *_Atomic *at, size_t size)
{
    void *have = atomic_load_explicit(at, memory_order_acquire);
    if (have)
        return have;
    int saved = errno;
    void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (fresh == MAP_FAILED)
        return NULL;
    if (atomic_compare_exchange_strong(at, &have, fresh))
        return fresh;
    munmap(fresh, size);
    return have;
}

#endif
