/* A short value that is written rarely and read often. A read returns the whole value of one write, without a lock
 * or a system call. There are two copies. A write fills the copy that is not read and then increments the count,
 * whose last bit selects the copy to read. A reader that sees the count change reads again. A write that is
 * interrupted (by a fork or the end of its thread) never becomes visible. */
#ifndef S5_LATCH_H
#define S5_LATCH_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define S5_LATCH_WORDS 4u

struct s5_latch {
    _Atomic uint32_t count; /* of writes */
    _Atomic uint64_t copies[2][S5_LATCH_WORDS];
};

/* Writes SIZE octets of VALUE, at most 8 * S5_LATCH_WORDS. Only one thread may write at a time. */
static inline void s5_latch_write(struct s5_latch *l, const void *value, size_t size)
{
    uint64_t words[S5_LATCH_WORDS] = {0};
    uint32_t next = atomic_load_explicit(&l->count, memory_order_relaxed) + 1;
    memcpy(words, value, size);
    /* Release order: a reader that sees one of these words also sees the count of the previous write, and so finds
     * that the count changed. */
    for (unsigned i = 0; i < S5_LATCH_WORDS; i++)
        atomic_store_explicit(&l->copies[next & 1][i], words[i], memory_order_release);
    atomic_store_explicit(&l->count, next, memory_order_release);
}

static inline void s5_latch_read(const struct s5_latch *l, void *ret, size_t size)
{
    uint64_t words[S5_LATCH_WORDS];
    uint32_t count;
    do {
        count = atomic_load_explicit(&l->count, memory_order_acquire);
        for (unsigned i = 0; i < S5_LATCH_WORDS; i++)
            words[i] = atomic_load_explicit(&l->copies[count & 1][i], memory_order_acquire);
    } while (atomic_load_explicit(&l->count, memory_order_relaxed) != count);
    memcpy(ret, words, size);
}

#endif
