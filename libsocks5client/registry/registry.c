/* Records come from one lazily mapped array through a lock-free free list whose head carries a tag
 * (so that a head popped, pushed and popped again is not mistaken for the old one). A slot is
 * changed by atomic exchange; the thread that took a record's name out of a slot is the one that
 * drops the reference. */
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

static struct s5_record *record_take(struct s5_registry *r)
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
    uint64_t use = atomic_load_explicit(&record->use, memory_order_relaxed); /* nobody changes it now */
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

/* The association of FD's slot, and the gate with it. */
static __attribute__((noinline, cold)) void change_relayed(struct s5_registry *r, int fd, struct s5_slot *slot,
                                                           uint32_t relayed)
{
    bool before = atomic_exchange(&slot->relayed, relayed);
    _Atomic uint16_t *count = &r->relayed[(unsigned)fd % S5_CHUNK_SLOTS];
    if (relayed && !before)
        atomic_fetch_add(count, 1);
    else if (!relayed && before)
        atomic_fetch_sub(count, 1);
}

/* Seldom a change: of a connection's there is none. */
static inline void set_relayed(struct s5_registry *r, int fd, struct s5_slot *slot, uint32_t relayed)
{
    if (__builtin_expect(relayed | atomic_load_explicit(&slot->relayed, memory_order_relaxed), 0))
        change_relayed(r, fd, slot, relayed);
}

struct s5_record *s5_registry_new(struct s5_registry *r)
{
    struct s5_record *record = record_take(r);
    if (!record)
        return NULL;
    record->error = 0; /* its flight and association went when it was given back */
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
    set_relayed(r, fd, slot, record->relayed);
    return 0;
}

int s5_registry_enter(struct s5_registry *r, int fd, struct s5_record *record)
{
    atomic_store_explicit(&record->fd, fd, memory_order_relaxed);
    s5_registry_publish(record);
    int error = s5_registry_name(r, fd, record);
    if (error == 0)
        return 0;
    record->relayed = 0; /* nothing is its own, whoever disposes of it */
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
        s5_record_release(record); /* the caller's is left */
    else
        atomic_compare_exchange_strong(&record->fd, &none, fd);
    return error;
}

struct search {
    int found, but;
};

static void note_other(void *user, int fd, struct s5_slot *slot)
{
    struct search *s = user;
    (void)slot;
    if (fd != s->but)
        s->found = fd;
}

/* FD, which stood for RECORD, names it no more: another name does from now on, or none. Names come and go meanwhile,
 * so what was written is looked at again. The caller has FD's reference still: without one RECORD may become another
 * connection's, which loses its descriptor here. KNOWN: references that are FD's and the caller's. */
static __attribute__((noinline, cold)) void find_another(struct s5_registry *r, struct s5_record *record, int fd,
                                                         uint32_t known)
{
    struct search s, again = {fd, fd};
    atomic_store(&record->fd, -1); /* a name that comes from now on takes the place itself */
    if (s5_record_refs(record) == known)
        return;
    do {
        s = again;
        s.found = -1;
        s5_registry_each(r, record, note_other, &s);
        atomic_store(&record->fd, s.found);
        again.found = -1;
        s5_registry_each(r, record, note_other, &again);
    } while (s.found != again.found);
}

/* FD names RECORD no more. True: it was the last reference. */
static inline bool leave_name(struct s5_registry *r, struct s5_record *record, int fd)
{
    if (s5_record_refs(record) != 1 && atomic_load(&record->fd) == fd)
        find_another(r, record, fd, 1);
    return s5_record_release(record);
}

struct s5_record *s5_registry_drop(struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    if (!slot)
        return NULL;
    set_relayed(r, fd, slot, 0);
    struct s5_record *record = s5_registry_record(r, atomic_exchange(&slot->record, 0));
    if (!record)
        return NULL;
    return leave_name(r, record, fd) ? record : NULL;
}

bool s5_registry_drop_unchecked(struct s5_registry *r, int fd, struct s5_record *record)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    uint32_t have = record->number | S5_SLOT_NEEDS_CHECK;
    if (!atomic_compare_exchange_strong(&slot->record, &have, 0))
        return false; /* another thread was quicker, and may have given it another record */
    return leave_name(r, record, fd);
}

void s5_registry_drop_record(struct s5_registry *r, int fd, struct s5_record *record)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    uint32_t have = slot ? atomic_load(&slot->record) : 0, relayed = record->relayed;
    /* The number of the association is RECORD's own: where FD is another's by now, nothing is changed. */
    if (slot && relayed && atomic_compare_exchange_strong(&slot->relayed, &relayed, 0))
        atomic_fetch_sub(&r->relayed[(unsigned)fd % S5_CHUNK_SLOTS], 1);
    while (have && (have & ~S5_SLOT_NEEDS_CHECK) == record->number)
        if (atomic_compare_exchange_weak(&slot->record, &have, 0)) {
            if (atomic_load(&record->fd) == fd)
                find_another(r, record, fd, 2);
            s5_record_release(record); /* the caller's is left */
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

/* An empty list is short again: how many and the top are in one word, so that nobody who is in it is
 * ever beyond its top. */
#define ONE_MORE (1ull << 32)

static inline void list_add(struct s5_registry *r, uint32_t at)
{
    uint64_t was = atomic_load_explicit(&r->inflight_list, memory_order_relaxed), now;
    do {
        uint32_t top = (uint32_t)was;
        now = was + ONE_MORE + (top <= at ? at + 1 - top : 0);
    } while (!atomic_compare_exchange_weak(&r->inflight_list, &was, now));
}

static inline void list_remove(struct s5_registry *r)
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
        list_add(r, at);
        atomic_fetch_add(&r->inflight_count, 1);
        return 0;
    }
    return -ENOBUFS;
}

void s5_registry_inflight_remove(struct s5_registry *r, struct s5_record *record)
{
    uint32_t at = atomic_load_explicit(&record->in_flight, memory_order_relaxed), self = record->number;
    atomic_store_explicit(&record->in_flight, 0, memory_order_relaxed); /* first, for s5_registry_recount() */
    if (at - 1 >= S5_INFLIGHT_MAX || !atomic_compare_exchange_strong(&r->inflight[at - 1], &self, 0))
        return;
    list_remove(r);
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

static void set_references(struct s5_record *record, uint32_t refs)
{
    atomic_store(&record->use, (atomic_load(&record->use) >> 32) << 32 | refs);
}

/* Records beside those in flight whose octets matter. */
static uint32_t attended(const struct s5_registry *r)
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

static void count_names(struct s5_registry *r)
{
    for (int fd = 0; fd < (int)(S5_CHUNKS * S5_CHUNK_SLOTS); fd++) {
        struct s5_slot *slot = s5_registry_slot(r, fd);
        struct s5_record *record = slot ? s5_registry_record(r, atomic_load(&slot->record)) : NULL;
        if (!slot)
            fd |= (int)S5_CHUNK_SLOTS - 1; /* on to the next chunk */
        else if (record && atomic_load(&record->in_flight))
            set_references(record, s5_record_refs(record) + 1);
    }
}

void s5_registry_recount(struct s5_registry *r)
{
    enum { UNDER_WAY = 256 }; /* threads that were about to be in the list */
    uint32_t end = s5_registry_inflight_top(r) + UNDER_WAY, top = 0, n = 0;
    for (uint32_t at = 0; at < end; at++) {
        struct s5_record *record = s5_registry_inflight_at(r, at);
        if (!record)
            continue;
        atomic_store(&record->in_flight, at + 1);
        set_references(record, 0);
        top = at + 1;
        n++;
    }
    if (!n && !s5_registry_any_in_flight(r))
        return;
    if (n)
        count_names(r);
    atomic_store(&r->inflight_list, n * ONE_MORE + top);
    atomic_store(&r->inflight_count, n + attended(r));
}
