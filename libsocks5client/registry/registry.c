/* Records are in one array, mapped on first use. Free ones are in a lock-free list. The head of the list has a tag, so
 * that a head that was popped, pushed and popped again is not mistaken for the old one (ABA). A slot is changed by
 * atomic exchange: the thread that removes a record from a slot releases the slot's reference. */
#include "registry.h"
#include "lazy_map.h"
#include "record.h"
#include <errno.h>
#include <stddef.h>

struct s5_slot *s5_registry_make(struct s5_registry *r, int fd)
{
    if ((unsigned)fd < S5_CHUNK_SLOTS)
        return &r->near.slots[fd];
    if ((unsigned)fd >= S5_CHUNKS * S5_CHUNK_SLOTS)
        return NULL;
    struct s5_chunk *chunk =
        s5_lazy_map((void *_Atomic *)&r->chunks[(unsigned)fd / S5_CHUNK_SLOTS], sizeof(struct s5_chunk));
    return chunk ? &chunk->slots[(unsigned)fd % S5_CHUNK_SLOTS] : NULL;
}

void s5_registry_set_needs_check(struct s5_registry *r, int fd, bool needs_check)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    uint32_t have = slot ? atomic_load(&slot->record) : 0;
    if (have)
        atomic_compare_exchange_strong(&slot->record, &have,
                                       needs_check ? have | S5_SLOT_NEEDS_CHECK : have & ~S5_SLOT_NEEDS_CHECK);
}

static struct s5_record *take_record(struct s5_registry *r)
{
    struct s5_record *records = s5_lazy_map((void *_Atomic *)&r->records, S5_RECORDS * sizeof(struct s5_record));
    if (!records)
        return NULL;
    uint64_t head = atomic_load(&r->records_free);
    while ((uint32_t)head) {
        struct s5_record *record = &records[(uint32_t)head - 1];
        uint64_t next = ((head >> 32) + 1) << 32 | atomic_load_explicit(&record->next_free, memory_order_relaxed);
        if (atomic_compare_exchange_weak(&r->records_free, &head, next))
            return record;
    }
    uint32_t at = atomic_load(&r->records_used);
    do {
        if (at >= S5_RECORDS)
            return NULL;
    } while (!atomic_compare_exchange_weak(&r->records_used, &at, at + 1));
    records[at].number = at + 1;
    return &records[at];
}

void s5_registry_free(struct s5_registry *r, struct s5_record *record)
{
    record->relayed = 0;
    atomic_store(&record->state, S5_RECORD_FREE);
    uint64_t use = atomic_load_explicit(&record->use, memory_order_relaxed); /* no other thread changes it now */
    atomic_store_explicit(&record->use, use + (1ull << 32), memory_order_relaxed);
    uint64_t head = atomic_load(&r->records_free), next;
    do {
        atomic_store_explicit(&record->next_free, (uint32_t)head, memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | record->number;
    } while (!atomic_compare_exchange_weak(&r->records_free, &head, next));
}

__attribute__((noinline, cold)) void s5_registry_remove(struct s5_registry *r, int fd)
{
    struct s5_record *record = s5_registry_drop(r, fd);
    if (!record)
        return;
    atomic_store(&record->negotiation, NULL);
    s5_registry_free(r, record);
}

struct s5_record_more *s5_registry_more(struct s5_registry *r, struct s5_record *record)
{
    struct s5_record_more *all = s5_lazy_map((void *_Atomic *)&r->more, S5_RECORDS * sizeof(struct s5_record_more));
    if (all)
        atomic_store(&record->more, &all[record->number - 1]);
    return atomic_load(&record->more);
}

/* Changes the association in FD's slot, and the count of relayed descriptors with it. */
static __attribute__((noinline, cold)) void change_slot_relayed(struct s5_registry *r, int fd, struct s5_slot *slot,
                                                                uint32_t relayed)
{
    bool before = atomic_exchange(&slot->relayed, relayed);
    _Atomic uint16_t *count = &r->relayed[(unsigned)fd % S5_CHUNK_SLOTS];
    if (relayed && !before)
        atomic_fetch_add(count, 1);
    else if (!relayed && before)
        atomic_fetch_sub(count, 1);
}

/* A change is rare: connections have no association. */
static inline void set_slot_relayed(struct s5_registry *r, int fd, struct s5_slot *slot, uint32_t relayed)
{
    if (__builtin_expect(relayed | atomic_load_explicit(&slot->relayed, memory_order_relaxed), 0))
        change_slot_relayed(r, fd, slot, relayed);
}

struct s5_record *s5_registry_new(struct s5_registry *r)
{
    struct s5_record *record = take_record(r);
    if (!record)
        return NULL;
    record->error = 0; /* its negotiation and association were cleared when it was freed */
    struct s5_record_more *more = atomic_load_explicit(&record->more, memory_order_relaxed);
    if (__builtin_expect(more != NULL, 0))
        more->local.len = 0;
    return record;
}

void s5_registry_publish(struct s5_record *record)
{
    uint64_t use = atomic_load_explicit(&record->use, memory_order_relaxed);
    atomic_store_explicit(&record->use, use + 1, memory_order_release);
}

int s5_registry_name(struct s5_registry *r, int fd, struct s5_record *record)
{
    struct s5_slot *slot = s5_registry_make(r, fd);
    uint32_t none = 0;
    if (!slot)
        return -ENOBUFS;
    if (!atomic_compare_exchange_strong(&slot->record, &none, record->number))
        return -EALREADY;
    set_slot_relayed(r, fd, slot, record->relayed);
    return 0;
}

int s5_registry_enter(struct s5_registry *r, int fd, struct s5_record *record)
{
    atomic_store_explicit(&record->fd, fd, memory_order_relaxed);
    s5_registry_publish(record);
    int error = s5_registry_name(r, fd, record);
    if (error == 0)
        return 0;
    record->relayed = 0; /* it owns nothing, whichever thread disposes of it */
    atomic_store(&record->state, S5_RECORD_FREE);
    if (s5_record_release(record))
        s5_registry_free(r, record);
    return error;
}

int s5_registry_share(struct s5_registry *r, int fd, struct s5_record *record)
{
    if (!s5_record_hold(record))
        return -ESTALE;
    int error = s5_registry_name(r, fd, record), none = -1;
    if (error < 0)
        s5_record_release(record); /* not the last: the caller has one */
    else
        atomic_compare_exchange_strong(&record->fd, &none, fd);
    return error;
}

struct name_search {
    int found, but;
};

static void note_other_name(void *user, int fd, struct s5_slot *slot)
{
    struct name_search *s = user;
    (void)slot;
    if (fd != s->but)
        s->found = fd;
}

/* FD is RECORD's FD field and does not name RECORD any more: sets the field to another descriptor that does, or to -1.
 * Descriptors come and go meanwhile, so the search is repeated until two results agree. The caller still has the
 * reference of FD: without it RECORD could become another connection's, whose descriptor would be overwritten here.
 * KNOWN: the number of references of FD and the caller. */
static __attribute__((noinline, cold)) void find_another_name(struct s5_registry *r, struct s5_record *record, int fd,
                                                              uint32_t known)
{
    struct name_search s, again = {fd, fd};
    atomic_store(&record->fd, -1); /* a descriptor that is added from now on sets the field itself */
    if (s5_record_refs(record) == known)
        return;
    do {
        s = again;
        s.found = -1;
        s5_registry_each(r, record, note_other_name, &s);
        atomic_store(&record->fd, s.found);
        again.found = -1;
        s5_registry_each(r, record, note_other_name, &again);
    } while (s.found != again.found);
}

/* Releases the reference of FD, which does not name RECORD any more. True: it was the last one. */
static inline bool release_name(struct s5_registry *r, struct s5_record *record, int fd)
{
    if (s5_record_refs(record) != 1 && atomic_load(&record->fd) == fd)
        find_another_name(r, record, fd, 1);
    return s5_record_release(record);
}

struct s5_record *s5_registry_drop(struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    if (!slot)
        return NULL;
    set_slot_relayed(r, fd, slot, 0);
    struct s5_record *record = s5_registry_record(r, atomic_exchange(&slot->record, 0));
    if (!record)
        return NULL;
    return release_name(r, record, fd) ? record : NULL;
}

bool s5_registry_drop_unchecked(struct s5_registry *r, int fd, struct s5_record *record)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    uint32_t have = record->number | S5_SLOT_NEEDS_CHECK;
    if (!atomic_compare_exchange_strong(&slot->record, &have, 0))
        return false; /* another thread was first, and may have set another record */
    return release_name(r, record, fd);
}

void s5_registry_drop_record(struct s5_registry *r, int fd, struct s5_record *record)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    uint32_t have = slot ? atomic_load(&slot->record) : 0, relayed = record->relayed;
    /* The number of the association is RECORD's: where FD names another record by now, nothing changes. */
    if (slot && relayed && atomic_compare_exchange_strong(&slot->relayed, &relayed, 0))
        atomic_fetch_sub(&r->relayed[(unsigned)fd % S5_CHUNK_SLOTS], 1);
    while (have && (have & ~S5_SLOT_NEEDS_CHECK) == record->number)
        if (atomic_compare_exchange_weak(&slot->record, &have, 0)) {
            if (atomic_load(&record->fd) == fd)
                find_another_name(r, record, fd, 2);
            s5_record_release(record); /* not the last: the caller has one */
            return;
        }
}

void s5_registry_each(struct s5_registry *r, struct s5_record *record,
                      void (*each)(void *user, int fd, struct s5_slot *slot), void *user)
{
    uint32_t self = record->number;
    int fd = atomic_load(&record->fd);
    struct s5_slot *slot = s5_registry_slot(r, fd);
    if (s5_record_refs(record) <= 1 && slot && (atomic_load(&slot->record) & ~S5_SLOT_NEEDS_CHECK) == self) {
        each(user, fd, slot);
        return;
    }
    for (unsigned c = 0; c < S5_CHUNKS; c++) {
        struct s5_chunk *chunk = c ? atomic_load_explicit(&r->chunks[c], memory_order_acquire) : &r->near;
        for (unsigned s = 0; chunk && s < S5_CHUNK_SLOTS; s++)
            if ((atomic_load_explicit(&chunk->slots[s].record, memory_order_relaxed) & ~S5_SLOT_NEEDS_CHECK) == self)
                each(user, (int)(c * S5_CHUNK_SLOTS + s), &chunk->slots[s]);
    }
}

/* The number of records in the list and its top are in one word, so that no record in the list is ever beyond the top.
 * The top is reset when the list becomes empty. */
#define ONE_MORE (1ull << 32)

static inline void grow_inflight_list(struct s5_registry *r, uint32_t at)
{
    uint64_t was = atomic_load_explicit(&r->inflight_list, memory_order_relaxed), now;
    do {
        uint32_t top = (uint32_t)was;
        now = was + ONE_MORE + (top <= at ? at + 1 - top : 0);
    } while (!atomic_compare_exchange_weak(&r->inflight_list, &was, now));
}

static inline void shrink_inflight_list(struct s5_registry *r)
{
    uint64_t was = atomic_load_explicit(&r->inflight_list, memory_order_relaxed), now;
    do
        now = was < 2 * ONE_MORE ? 0 : was - ONE_MORE;
    while (!atomic_compare_exchange_weak(&r->inflight_list, &was, now));
}

int s5_registry_inflight_add(struct s5_registry *r, struct s5_record *record)
{
    uint32_t self = record->number;
    for (uint32_t at = 0; at < S5_INFLIGHT_MAX; at++) {
        uint32_t gap = 0;
        if (atomic_load_explicit(&r->inflight[at], memory_order_relaxed) ||
            !atomic_compare_exchange_strong(&r->inflight[at], &gap, self))
            continue;
        atomic_store_explicit(&record->in_flight, at + 1, memory_order_relaxed);
        grow_inflight_list(r, at);
        atomic_fetch_add(&r->inflight_count, 1);
        return 0;
    }
    return -ENOBUFS;
}

void s5_registry_inflight_remove(struct s5_registry *r, struct s5_record *record)
{
    uint32_t at = atomic_load_explicit(&record->in_flight, memory_order_relaxed), self = record->number;
    atomic_store_explicit(&record->in_flight, 0,
                          memory_order_relaxed); /* first, because s5_registry_recount() in a child relies on it */
    if (at - 1 >= S5_INFLIGHT_MAX || !atomic_compare_exchange_strong(&r->inflight[at - 1], &self, 0))
        return;
    shrink_inflight_list(r);
    atomic_fetch_sub(&r->inflight_count, 1);
}

void s5_registry_listens(struct s5_registry *r, int more)
{
    atomic_fetch_add(&r->listening, (uint32_t)more);
}

struct s5_record *s5_registry_inflight_at(const struct s5_registry *r, uint32_t at)
{
    return at < S5_INFLIGHT_MAX ? s5_registry_record(r, atomic_load_explicit(&r->inflight[at], memory_order_acquire))
                                : NULL;
}

/* --- in the child of a fork --- */

static void set_record_references(struct s5_record *record, uint32_t refs)
{
    atomic_store(&record->use, (atomic_load(&record->use) >> 32) << 32 | refs);
}

/* Counts the records that are not in flight but whose reads and writes the engine must see. */
static uint32_t count_attended(const struct s5_registry *r)
{
    struct s5_record *records = atomic_load(&r->records);
    uint32_t used = atomic_load(&r->records_used), n = 0;
    for (uint32_t i = 0; records && i < used && i < S5_RECORDS; i++) {
        const struct s5_record_more *more = atomic_load(&records[i].more);
        if (s5_record_refs(&records[i]))
            n += (atomic_load(&records[i].state) == S5_RECORD_FAILED) + (more && atomic_load(&more->dns_client));
    }
    return n;
}

static void count_record_names(struct s5_registry *r)
{
    for (int fd = 0; fd < (int)(S5_CHUNKS * S5_CHUNK_SLOTS); fd++) {
        struct s5_slot *slot = s5_registry_slot(r, fd);
        struct s5_record *record = slot ? s5_registry_record(r, atomic_load(&slot->record)) : NULL;
        if (!slot)
            fd |= (int)S5_CHUNK_SLOTS - 1; /* skips to the next chunk */
        else if (record && atomic_load(&record->in_flight))
            set_record_references(record, s5_record_refs(record) + 1);
    }
}

void s5_registry_recount(struct s5_registry *r)
{
    enum { UNDER_WAY = 256 }; /* records that threads were adding above the top at the fork */
    uint32_t end = s5_registry_inflight_top(r) + UNDER_WAY, top = 0, n = 0;
    for (uint32_t at = 0; at < end; at++) {
        struct s5_record *record = s5_registry_inflight_at(r, at);
        if (!record)
            continue;
        atomic_store(&record->in_flight, at + 1);
        set_record_references(record, 0);
        top = at + 1;
        n++;
    }
    if (!n && !s5_registry_any_in_flight(r))
        return;
    if (n)
        count_record_names(r);
    atomic_store(&r->inflight_list, n * ONE_MORE + top);
    atomic_store(&r->inflight_count, n + count_attended(r));
}
