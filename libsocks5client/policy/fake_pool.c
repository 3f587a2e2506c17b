/* A slot is written under a sequence number, which is odd during the write and even when the slot is complete. A
 * reader discards what it read unless the sequence was even and the same before and after and, where an address is
 * converted back to its name, the hash agrees. A writer may sleep while the hand passes all slots and then write
 * into a slot that another writer has claimed: that slot then has no name.
 *
 * The index is an open-addressing table that is never emptied. An entry contains a number and some bits of the
 * hash. An entry is only replaced, by compare and swap, if it is empty or refers to a slot that has another name by
 * now. Two writers of one name therefore meet at the same entry, and the second one finds the number of the first.
 * The slot that the second one had prepared becomes a spare. */
#include "fake_pool.h"
#include <string.h>

#define PROBES   128u     /* entries that a name can be at */
#define TRIES    4096u    /* slots the hand visits before the least recently used of them is taken */
#define SPARES   64u      /* spares that are tried: an overwritten list may be circular */
#define NUMBER   0x3ffffu /* mask of an entry: 18 bits number, 14 bits of the hash */
#define LOAD(at) atomic_load_explicit(at, memory_order_acquire)

_Static_assert(S5_FAKE_POOL_SLOTS <= NUMBER, "a number fits a place");

_Static_assert(S5_FAKE_POOL_SLICES *S5_FAKE_POOL_SLICE <= S5_FAKE_POOL_SLOTS - 65538,
               "65,536 names in one process tree, without a network's first address and its last");

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
        /* Converts capitals to lower case, eight octets at once. A name contains only ASCII. */
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

/* Marks SLOT as used, so that its name is kept. The mark is written rarely: many processes read the slot of a
 * popular name. */
static void mark_used(const struct s5_fake_pool *pool, struct s5_fake_pool_slot *slot)
{
    uint64_t hand = atomic_load_explicit(&pool->hand, memory_order_relaxed);
    if (atomic_load_explicit(&slot->used, memory_order_relaxed) + 1024 < hand)
        atomic_store_explicit(&slot->used, hand, memory_order_relaxed);
}

static bool has_key(const struct s5_fake_pool_slot *slot, const struct s5_fake_pool_key *key)
{
    uint32_t seq = LOAD(&slot->seq);
    if (seq == 0 || seq % 2 || LOAD(&slot->hash) != key->hash || LOAD(&slot->len) != key->len)
        return false;
    for (unsigned i = 0; i < (key->len + 7u) / 8; i++)
        if (LOAD(&slot->words[i]) != key->words[i])
            return false;
    return LOAD(&slot->seq) == seq;
}

/* Writes KEY to SLOT, whose sequence the caller has set to the odd SEQ. */
static void write_slot(struct s5_fake_pool_slot *slot, const struct s5_fake_pool_key *key, uint32_t seq)
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

/* Claims slot NUMBER for writing if its sequence is still SEQ. Returns the new, odd sequence, or 0. */
static uint32_t claim_slot(struct s5_fake_pool *pool, uint32_t number, uint32_t seq)
{
    uint32_t odd = seq % 2 ? seq + 2 : seq + 1;
    return atomic_compare_exchange_strong(&pool->slots[number].seq, &seq, odd) ? odd : 0;
}

/* Claims a spare, which is complete and has no name. The hand may have claimed it before. */
static uint32_t claim_spare(struct s5_fake_pool *pool, uint32_t n, uint32_t *ret_seq)
{
    uint32_t number;
    for (unsigned i = 0; i < SPARES && (number = pop_spare(pool)); i++) {
        uint32_t seq = LOAD(&pool->slots[number].seq);
        if (number < n && seq % 2 == 0 && LOAD(&pool->slots[number].len) == 0 &&
            (*ret_seq = claim_slot(pool, number, seq)))
            return number;
    }
    return 0;
}

/* Claims a number for a new name. The caller may then write its slot. Returns 0 if there is none. */
static uint32_t claim_number(struct s5_fake_pool *pool, uint32_t n, uint32_t *ret_seq)
{
    uint32_t number = claim_spare(pool, n, ret_seq), oldest = 0, oldest_seq = 0;
    uint64_t oldest_used = UINT64_MAX, at;
    for (unsigned i = 0; !number && i < TRIES; i++) {
        at = atomic_fetch_add(&pool->hand, 1);
        uint32_t here = (uint32_t)(at % n);
        if (here == 0 || here == n - 1) /* the first and the last address of a network */
            continue;
        struct s5_fake_pool_slot *slot = &pool->slots[here];
        uint32_t seq = LOAD(&slot->seq);
        uint64_t used = LOAD(&slot->used);
        if (seq && used + n / 2 > at) {
            if (used < oldest_used)
                oldest = here, oldest_seq = seq, oldest_used = used;
        } else if ((*ret_seq = claim_slot(pool, here, seq)))
            number = here;
    }
    if (!number && oldest && (*ret_seq = claim_slot(pool, oldest, oldest_seq)))
        number = oldest;
    if (number)
        atomic_store_explicit(&pool->slots[number].used, LOAD(&pool->hand), memory_order_release);
    return number;
}

/* --- the index --- */

static uint32_t make_entry(const struct s5_fake_pool_key *key, uint32_t number)
{
    return (uint32_t)(key->hash >> 50) << 18 | number;
}

static _Atomic uint32_t *get_entry(struct s5_fake_pool *pool, uint64_t hash, unsigned probe)
{
    return &pool->index[(hash + probe) % S5_FAKE_POOL_INDEX];
}

/* Whether ENTRY at AT is obsolete: its slot has another name by now. */
static bool is_stale_entry(struct s5_fake_pool *pool, uint32_t entry, const _Atomic uint32_t *at)
{
    const struct s5_fake_pool_slot *slot = &pool->slots[(entry & NUMBER) % S5_FAKE_POOL_SLOTS];
    uint32_t seq = LOAD(&slot->seq);
    uint64_t hash = LOAD(&slot->hash), here = (uint64_t)(at - pool->index);
    return seq % 2 || hash >> 50 != entry >> 18 || (here - hash) % S5_FAKE_POOL_INDEX >= PROBES;
}

static uint32_t find_number(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n)
{
    for (unsigned i = 0; i < PROBES; i++) {
        uint32_t entry = LOAD(get_entry(pool, key->hash, i)), number = entry & NUMBER;
        if (entry == 0)
            return 0;
        if (entry == make_entry(key, number) && number < n && has_key(&pool->slots[number], key))
            return number;
    }
    return 0;
}

/* Inserts NUMBER, which has KEY, in the index. Returns NUMBER, or the number of KEY that was in the index before. */
static uint32_t insert_number(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t number,
                              uint32_t n)
{
    for (unsigned i = 0; i < PROBES; i++) {
        _Atomic uint32_t *at = get_entry(pool, key->hash, i);
        uint32_t entry = LOAD(at);
        while (entry == 0 || is_stale_entry(pool, entry, at))
            if (atomic_compare_exchange_strong(at, &entry, make_entry(key, number)))
                return number;
        uint32_t other = entry & NUMBER;
        if (entry == make_entry(key, other) && other < n && has_key(&pool->slots[other], key))
            return other;
    }
    return number; /* no free entry: the address works, but later look-ups of the name do not find it */
}

uint32_t s5_fake_pool_get(struct s5_fake_pool *pool, const struct s5_fake_pool_key *key, uint32_t n)
{
    uint32_t seq, number = find_number(pool, key, n);
    if (!number) {
        uint32_t fresh = claim_number(pool, n, &seq);
        if (!fresh)
            return 0;
        write_slot(&pool->slots[fresh], key, seq);
        number = insert_number(pool, key, fresh, n);
        if (number != fresh)
            push_spare(pool, fresh);
    }
    mark_used(pool, &pool->slots[number]);
    return number;
}

/* The hand advances by less than the N / 2 that make a name old, so that recently used names are kept. The list of
 * spares may have been copied during a change, so it is emptied. The hand finds the spares again. */
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
    mark_used(pool, slot);
    ret->kind = S5_ADDR_NAME;
    ret->name_len = (uint8_t)len;
    ret->scope = 0;
    memcpy(ret->name, words, len);
    ret->name[len] = 0;
    return true;
}
