/* The pool of fake addresses: names that were looked up, each with a number that is part of an address in the
 * ranges of fake addresses (policy.h).
 *
 * The pool is in memory that a process tree shares, initially zero, and has no lock. Any process may be killed at
 * any point of any function here and leaves the pool consistent. A number it was about to use is unavailable until
 * the hand reaches it again. */
#ifndef S5_FAKE_POOL_H
#define S5_FAKE_POOL_H

#include "addr.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_FAKE_POOL_SLOTS      131072u /* as many as 198.18.0.0/15 has addresses */
#define S5_FAKE_POOL_INDEX      524288u /* entries of the index: four per slot; a power of two */
#define S5_FAKE_POOL_WORDS      32u     /* of eight octets: the longest name */
#define S5_FAKE_POOL_SLICES     16u     /* for pools that replace a lost one */
#define S5_FAKE_POOL_SLICE      2048u   /* numbers in each */
#define S5_FAKE_POOL_ALL_SLICES ((1u << S5_FAKE_POOL_SLICES) - 1)

/* A name in the form in which it is stored and compared: ASCII letters in lower case, padded with zeros. */
struct s5_fake_pool_key {
    uint64_t words[S5_FAKE_POOL_WORDS];
    uint64_t hash;
    uint8_t len; /* octets; 0: none */
};

struct s5_fake_pool_slot {
    _Atomic uint32_t seq;   /* 0: never assigned; odd: being written; even: assigned. It only increases. */
    _Atomic uint32_t spare; /* number of the next spare; 0: none */
    _Atomic uint64_t used;  /* the hand when the name was last requested, approximately */
    _Atomic uint64_t hash;  /* of the name; a reader rejects a name that does not agree with it */
    _Atomic uint64_t len;
    _Atomic uint64_t words[S5_FAKE_POOL_WORDS];
};

struct s5_fake_pool {
    _Atomic uint64_t seed;                      /* of the hash, set once; 0: not yet */
    _Atomic uint64_t hand;                      /* slots visited so far: visits the slots in order, to reassign them */
    _Atomic uint64_t spares;                    /* numbers that were claimed and not needed: tag << 32 | first */
    _Atomic uint32_t index[S5_FAKE_POOL_INDEX]; /* see fake_pool.c */
    struct s5_fake_pool_slot slots[S5_FAKE_POOL_SLOTS];
};

/* The numbers a pool assigns: N numbers from FIRST. */
struct s5_fake_pool_range {
    uint32_t first, n;
};

/* The range of the pool of SLICE if fake addresses have FAKE_RANGES numbers. SLICE 0 is the pool of a process tree
 * that created its own. SLICE 1 to S5_FAKE_POOL_SLICES are pools that replace one that its process lost: the
 * address of one pool has no meaning in another. Returns false if there are no numbers for SLICE. */
bool s5_fake_pool_range(uint32_t slice, uint32_t fake_ranges, struct s5_fake_pool_range *ret);

/* Makes the key of NAME, of kind S5_ADDR_NAME, for POOL, which must be seeded. */
void s5_fake_pool_key(const struct s5_fake_pool *pool, const struct s5_addr *name, struct s5_fake_pool_key *ret);

/* s5_fake_pool_unseeded(): whether the pool still needs a seed. s5_fake_pool_seed() sets it, once: any secret
 * number. */
bool s5_fake_pool_unseeded(const struct s5_fake_pool *pool);
void s5_fake_pool_seed(struct s5_fake_pool *pool, uint64_t seed);

/* The number of KEY, 1 to N - 2, in a pool of which N slots are used. A number is assigned if KEY has none. All
 * processes get the same number until N / 2 other names were requested after the last request of KEY. A busy pool
 * that finds no name that old reassigns the least recently used number it has visited. 0: no number is available. */
uint32_t s5_fake_pool_get(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n);

/* Separates POOL, a copy of which N slots are used, from its original. It keeps its names. For as long as possible
 * it assigns numbers to new names elsewhere than the original and than other copies do; the random number DRAWN
 * determines where. */
void s5_fake_pool_detach(struct s5_fake_pool *pool, uint32_t n, uint32_t drawn);

/* Writes the name of NUMBER to RET (kind, name and length). Returns false if it has none. */
bool s5_fake_pool_name(struct s5_fake_pool *pool, uint32_t number, struct s5_addr *ret);

#endif
