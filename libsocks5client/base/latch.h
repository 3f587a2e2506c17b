/* A short value that is written now and then and read often: a read has what one write wrote, whole, without a lock
 * or a system call. There are two copies. A write fills the one that is not read and then turns the count, whose
 * last bit tells which one is; a reader whose count was turned meanwhile reads again. A write that is cut off in the
 * middle (a fork, a thread's end) is never seen. */
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

/* SIZE octets of VALUE, as many as fit at the most. One thread writes at a time. */
static inline void s5_latch_write(struct s5_latch *l, const void *value, size_t size)
{
    uint64_t words[S5_LATCH_WORDS] = {0};
    uint32_t next = atomic_load_explicit(&l->count, memory_order_relaxed) + 1;
    memcpy(words, value, size);
    /* Whoever reads one of these words sees the count of the write before, and that it was turned. */
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
