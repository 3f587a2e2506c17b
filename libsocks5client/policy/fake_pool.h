/* The pool of stand-in addresses: names that were looked up, each under a number that an address
 * of the stand-in ranges carries (policy.h).
 *
 * It lives in memory a process tree shares, zero at first, and holds no lock: any process may be
 * killed at any point of any function here and leaves it whole, a number it was about to use lost
 * until the pool came round to it. */
#ifndef S5_FAKE_POOL_H
#define S5_FAKE_POOL_H

#include "addr.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_FAKE_POOL_SLOTS      131072u /* as many as 198.18.0.0/15 has addresses */
#define S5_FAKE_POOL_INDEX      524288u /* places of the index: four to a slot; a power of two */
#define S5_FAKE_POOL_WORDS      32u     /* of eight octets: a name whole */
#define S5_FAKE_POOL_SLICES     16u     /* for pools that take the place of one that was lost */
#define S5_FAKE_POOL_SLICE      2048u   /* numbers in each */
#define S5_FAKE_POOL_ALL_SLICES ((1u << S5_FAKE_POOL_SLICES) - 1)

/* A name in the form it is compared and travels in: ASCII letters small, zeros behind. */
struct s5_fake_pool_key {
    uint64_t words[S5_FAKE_POOL_WORDS];
    uint64_t hash;
    uint8_t len; /* octets; 0: none */
};

struct s5_fake_pool_slot {
    _Atomic uint32_t seq;   /* 0: never given; odd: being written; even: given. Only goes up. */
    _Atomic uint32_t spare; /* next in the list of spares: number; 0: none */
    _Atomic uint64_t used;  /* the hand when the name was last asked for, roughly */
    _Atomic uint64_t hash;  /* of the name; what is read without agreeing with it is not believed */
    _Atomic uint64_t len;
    _Atomic uint64_t words[S5_FAKE_POOL_WORDS];
};

struct s5_fake_pool {
    _Atomic uint64_t seed;                      /* of the hash, set once; 0: not yet */
    _Atomic uint64_t hand;                      /* goes round the slots, to give them anew: slots looked at so far */
    _Atomic uint64_t spares;                    /* numbers taken and not needed: tag << 32 | first */
    _Atomic uint32_t index[S5_FAKE_POOL_INDEX]; /* see pool.c */
    struct s5_fake_pool_slot slots[S5_FAKE_POOL_SLOTS];
};

/* The numbers a pool gives: FIRST and up, N of them. */
struct s5_fake_pool_range {
    uint32_t first, n;
};

/* The range of the pool of SLICE where fake addresses have STAND_INS numbers. SLICE 0 is the pool of a tree that
 * began by itself. 1 to S5_FAKE_POOL_SLICES are those that took the place of a pool that its process lost:
 * an address that one pool gave means nothing to another. False: there are no numbers for it. */
bool s5_fake_pool_range(uint32_t slice, uint32_t fake_ranges, struct s5_fake_pool_range *ret);

/* NAME, of kind S5_ADDR_NAME, as a key for POOL (seeded already). */
void s5_fake_pool_key(const struct s5_fake_pool *pool, const struct s5_addr *name, struct s5_fake_pool_key *ret);

/* Whether the pool still needs a seed, and setting it: any number but 0 that others do not know. */
bool s5_fake_pool_unseeded(const struct s5_fake_pool *pool);
void s5_fake_pool_seed(struct s5_fake_pool *pool, uint64_t seed);

/* The number of KEY in a pool of which N slots are used, given when it has none: 1 to N - 2. The
 * same for everyone who asks, until N / 2 other names were asked for since KEY's number was last
 * (in vain tries to find it unchanged a busy pool gives the longest unused). 0: none to be had. */
uint32_t s5_fake_pool_get(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n);

/* POOL is a copy, of which N slots are used, and goes a way of its own: it keeps its names, and gives others their
 * numbers elsewhere than the pool it was copied from, and than other copies (DRAWN tells where), for as long as it can
 * be. */
void s5_fake_pool_detach(struct s5_fake_pool *pool, uint32_t n, uint32_t drawn);

/* The name NUMBER stands for, into RET (its kind, name and length). False: for none. */
bool s5_fake_pool_name(struct s5_fake_pool *pool, uint32_t number, struct s5_addr *ret);

#endif
