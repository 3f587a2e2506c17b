/* Slots are written under a sequence number: odd while somebody writes, even when it is whole. A
 * reader takes what it finds for nothing unless the sequence was even and the same before and
 * after and, where an address comes back from outside, the hash agrees: so a writer that slept
 * through a whole round and scribbles over another's slot makes it a slot of no name.
 *
 * The index is an open-addressing table that is never emptied: a place holds a number and some bits
 * of its hash. Places are only ever passed on, by compare and swap, from "empty" or from a slot
 * that has another name by now: two writers of one name therefore meet at the same place, and the
 * second finds the first one's number. What it had prepared itself becomes a spare. */
#include "fake_pool.h"
#include <string.h>

#define PROBES   128u     /* places a name can be at */
#define TRIES    4096u    /* slots the hand passes before it takes the longest unused of them */
#define SPARES   64u      /* spares that are looked at: a list that was written over may go in circles */
#define NUMBER   0x3ffffu /* of a place: 18 bits number, 14 bits of the hash */
#define LOAD(at) atomic_load_explicit(at, memory_order_acquire)

_Static_assert(S5_FAKE_POOL_SLOTS <= NUMBER, "a number fits a place");

_Static_assert(S5_FAKE_POOL_SLICES *S5_FAKE_POOL_SLICE <= S5_FAKE_POOL_SLOTS - 65538,
               "65,536 names in one tree, without a network's first address and its last");

bool s5_fake_pool_range(uint32_t slice, uint32_t fake_ranges, struct s5_fake_pool_range *ret)
{
    bool divided = fake_ranges == S5_FAKE_POOL_SLOTS;
    if (slice == 0) {
        *ret = (struct s5_fake_pool_range){0, divided ? fake_ranges - S5_FAKE_POOL_SLICES * S5_FAKE_POOL_SLICE
                                                      : fake_ranges};
        return true;
    }
    *ret = (struct s5_fake_pool_range){fake_ranges - slice * S5_FAKE_POOL_SLICE, S5_FAKE_POOL_SLICE};
    return divided && slice <= S5_FAKE_POOL_SLICES;
}

/* --- keys --- */

static uint64_t hash_words(const uint64_t *words, unsigned len, uint64_t seed)
{
    uint64_t hash = seed ^ len;
    for (unsigned i = 0; i < (len + 7) / 8; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

void s5_fake_pool_key(const struct s5_fake_pool *pool, const struct s5_addr *name, struct s5_fake_pool_key *ret)
{
    ret->len = name->name_len;
    for (unsigned i = 0; i < (ret->len + 7u) / 8; i++) {
        uint64_t word = 0;
        memcpy(&word, name->name + i * 8, ret->len - i * 8 < 8u ? ret->len - i * 8 : 8u);
        /* Small letters for big ones, eight at once: ASCII alone is in a name. */
        uint64_t ge_a = word + 0x3f3f3f3f3f3f3f3full, gt_z = word + 0x2525252525252525ull;
        ret->words[i] = word | ((ge_a & ~gt_z & 0x8080808080808080ull) >> 2);
    }
    ret->hash = hash_words(ret->words, ret->len, LOAD(&pool->seed));
}

bool s5_fake_pool_unseeded(const struct s5_fake_pool *pool)
{
    return LOAD(&pool->seed) == 0;
}

void s5_fake_pool_seed(struct s5_fake_pool *pool, uint64_t seed)
{
    uint64_t none = 0;
    atomic_compare_exchange_strong(&pool->seed, &none, seed | 1);
}

/* --- slots --- */

/* What is asked for again is kept. Rarely written: a name much asked for is read by many. */
static void touch(const struct s5_fake_pool *pool, struct s5_fake_pool_slot *slot)
{
    uint64_t hand = atomic_load_explicit(&pool->hand, memory_order_relaxed);
    if (atomic_load_explicit(&slot->used, memory_order_relaxed) + 1024 < hand)
        atomic_store_explicit(&slot->used, hand, memory_order_relaxed);
}

static bool holds(const struct s5_fake_pool_slot *slot, const struct s5_fake_pool_key *key)
{
    uint32_t seq = LOAD(&slot->seq);
    if (seq == 0 || seq % 2 || LOAD(&slot->hash) != key->hash || LOAD(&slot->len) != key->len)
        return false;
    for (unsigned i = 0; i < (key->len + 7u) / 8; i++)
        if (LOAD(&slot->words[i]) != key->words[i])
            return false;
    return LOAD(&slot->seq) == seq;
}

/* SLOT, whose sequence is the odd SEQ of our own making. */
static void fill(struct s5_fake_pool_slot *slot, const struct s5_fake_pool_key *key, uint32_t seq)
{
    atomic_store_explicit(&slot->hash, key->hash, memory_order_release);
    atomic_store_explicit(&slot->len, key->len, memory_order_release);
    for (unsigned i = 0; i < (key->len + 7u) / 8; i++)
        atomic_store_explicit(&slot->words[i], key->words[i], memory_order_release);
    atomic_compare_exchange_strong(&slot->seq, &seq, seq + 1);
}

static uint32_t pop_spare(struct s5_fake_pool *pool)
{
    uint64_t head = LOAD(&pool->spares);
    while ((uint32_t)head) {
        uint32_t next = LOAD(&pool->slots[(uint32_t)head % S5_FAKE_POOL_SLOTS].spare);
        if (atomic_compare_exchange_weak(&pool->spares, &head, ((head >> 32) + 1) << 32 | next))
            return (uint32_t)head % S5_FAKE_POOL_SLOTS;
    }
    return 0;
}

static void push_spare(struct s5_fake_pool *pool, uint32_t number)
{
    uint64_t head = LOAD(&pool->spares);
    atomic_store_explicit(&pool->slots[number].len, 0, memory_order_release);
    do
        atomic_store_explicit(&pool->slots[number].spare, (uint32_t)head, memory_order_release);
    while (!atomic_compare_exchange_weak(&pool->spares, &head, ((head >> 32) + 1) << 32 | number));
}

/* Take NUMBER for writing, away from whoever had it at SEQ: the odd sequence, or 0. */
static uint32_t seize(struct s5_fake_pool *pool, uint32_t number, uint32_t seq)
{
    uint32_t odd = seq % 2 ? seq + 2 : seq + 1;
    return atomic_compare_exchange_strong(&pool->slots[number].seq, &seq, odd) ? odd : 0;
}

/* A spare is whole and has no name; the hand may have been there before us. */
static uint32_t take_spare(struct s5_fake_pool *pool, uint32_t n, uint32_t *ret_seq)
{
    uint32_t number;
    for (unsigned i = 0; i < SPARES && (number = pop_spare(pool)); i++) {
        uint32_t seq = LOAD(&pool->slots[number].seq);
        if (number < n && seq % 2 == 0 && LOAD(&pool->slots[number].len) == 0 && (*ret_seq = seize(pool, number, seq)))
            return number;
    }
    return 0;
}

/* A number for a new name, its slot ours to write. */
static uint32_t take(struct s5_fake_pool *pool, uint32_t n, uint32_t *ret_seq)
{
    uint32_t number = take_spare(pool, n, ret_seq), oldest = 0, oldest_seq = 0;
    uint64_t oldest_used = UINT64_MAX, at;
    for (unsigned i = 0; !number && i < TRIES; i++) {
        at = atomic_fetch_add(&pool->hand, 1);
        uint32_t here = (uint32_t)(at % n);
        if (here == 0 || here == n - 1) /* a network's own address, and its last one */
            continue;
        struct s5_fake_pool_slot *slot = &pool->slots[here];
        uint32_t seq = LOAD(&slot->seq);
        uint64_t used = LOAD(&slot->used);
        if (seq && used + n / 2 > at) {
            if (used < oldest_used)
                oldest = here, oldest_seq = seq, oldest_used = used;
        } else if ((*ret_seq = seize(pool, here, seq)))
            number = here;
    }
    if (!number && oldest && (*ret_seq = seize(pool, oldest, oldest_seq)))
        number = oldest;
    if (number)
        atomic_store_explicit(&pool->slots[number].used, LOAD(&pool->hand), memory_order_release);
    return number;
}

/* --- the index --- */

static uint32_t place_of(const struct s5_fake_pool_key *key, uint32_t number)
{
    return (uint32_t)(key->hash >> 50) << 18 | number;
}

static _Atomic uint32_t *place(struct s5_fake_pool *pool, uint64_t hash, unsigned probe)
{
    return &pool->index[(hash + probe) % S5_FAKE_POOL_INDEX];
}

/* ENTRY, found at the place AT, tells nothing any more: its slot has another name. */
static bool stale(struct s5_fake_pool *pool, uint32_t entry, const _Atomic uint32_t *at)
{
    const struct s5_fake_pool_slot *slot = &pool->slots[(entry & NUMBER) % S5_FAKE_POOL_SLOTS];
    uint32_t seq = LOAD(&slot->seq);
    uint64_t hash = LOAD(&slot->hash), here = (uint64_t)(at - pool->index);
    return seq % 2 || hash >> 50 != entry >> 18 || (here - hash) % S5_FAKE_POOL_INDEX >= PROBES;
}

static uint32_t find(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n)
{
    for (unsigned i = 0; i < PROBES; i++) {
        uint32_t entry = LOAD(place(pool, key->hash, i)), number = entry & NUMBER;
        if (entry == 0)
            return 0;
        if (entry == place_of(key, number) && number < n && holds(&pool->slots[number], key))
            return number;
    }
    return 0;
}

/* Put NUMBER, which holds KEY, in the index; or the number that was there before. */
static uint32_t enter(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t number, uint32_t n)
{
    for (unsigned i = 0; i < PROBES; i++) {
        _Atomic uint32_t *at = place(pool, key->hash, i);
        uint32_t entry = LOAD(at);
        while (entry == 0 || stale(pool, entry, at))
            if (atomic_compare_exchange_strong(at, &entry, place_of(key, number)))
                return number;
        uint32_t other = entry & NUMBER;
        if (entry == place_of(key, other) && other < n && holds(&pool->slots[other], key))
            return other;
    }
    return number; /* no room: an address all the same, found by nobody else */
}

uint32_t s5_fake_pool_get(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n)
{
    uint32_t seq, number = find(pool, key, n);
    if (!number) {
        uint32_t mine = take(pool, n, &seq);
        if (!mine)
            return 0;
        fill(&pool->slots[mine], key, seq);
        number = enter(pool, key, mine, n);
        if (number != mine)
            push_spare(pool, mine);
    }
    touch(pool, &pool->slots[number]);
    return number;
}

/* The hand goes ahead by less than the N / 2 that make a name old: what was asked for lately is kept. The list of
 * spares may have been copied in the middle of a change; the hand finds them again. */
void s5_fake_pool_detach(struct s5_fake_pool *pool, uint32_t n, uint32_t drawn)
{
    atomic_store(&pool->spares, 0);
    atomic_fetch_add(&pool->hand, n / 8 + drawn % (n / 4));
}

bool s5_fake_pool_name(struct s5_fake_pool *pool, uint32_t number, struct s5_addr *ret)
{
    if (number == 0 || number >= S5_FAKE_POOL_SLOTS)
        return false;
    struct s5_fake_pool_slot *slot = &pool->slots[number];
    uint64_t words[S5_FAKE_POOL_WORDS];
    uint32_t seq = LOAD(&slot->seq);
    uint64_t len = LOAD(&slot->len), hash = LOAD(&slot->hash);
    if (seq == 0 || seq % 2 || len == 0 || len > S5_ADDR_NAME_MAX)
        return false;
    for (unsigned i = 0; i < (len + 7) / 8; i++)
        words[i] = LOAD(&slot->words[i]);
    if (LOAD(&slot->seq) != seq || hash_words(words, (unsigned)len, LOAD(&pool->seed)) != hash)
        return false;
    touch(pool, slot);
    ret->kind = S5_ADDR_NAME;
    ret->name_len = (uint8_t)len;
    ret->scope = 0;
    memcpy(ret->name, words, len);
    ret->name[len] = 0;
    return true;
}
