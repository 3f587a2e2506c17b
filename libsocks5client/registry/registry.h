/* The registry: what this process knows of its descriptors.
 *
 * Each descriptor has a slot. The first chunk of slots is part of the registry, so a look-up there is one load; the
 * other chunks are reached through a table of atomic pointers. A slot names the record of an open file description that
 * the engine handles, and notes where the descriptor is registered with epoll. It notes that also without a record,
 * because a program may register a socket first and connect it later.
 *
 * Chunks and records are never unmapped. A reader may therefore use a stale pointer and detect that by the record's
 * generation. Nothing here takes a lock. */
#ifndef S5_REGISTRY_H
#define S5_REGISTRY_H

#include "record.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define S5_CHUNK_SLOTS  1024u
#define S5_CHUNKS       1024u /* descriptors up to 1,048,575 */
#define S5_RECORDS      65536u
#define S5_WATCHES      4096u  /* registrations of descriptors in a second epoll instance and in further ones */
#define S5_INFLIGHT_MAX 16384u /* negotiations in flight in one process */
#define S5_IN_TRANSIT   32u    /* records held for messages that were not received yet */
#define S5_DUPS         64u    /* duplications noted of descriptors without a record */

/* Set in a slot whose descriptor was closed, by this process or by a child of vfork that shares its memory. The next
 * user of the slot checks the socket's cookie to learn which. */
#define S5_SLOT_NEEDS_CHECK 0x80000000u

struct s5_slot {
    _Atomic uint32_t record;  /* index + 1, and S5_SLOT_NEEDS_CHECK; 0: no record */
    _Atomic int32_t ep;       /* first registration: epoll descriptor + 1; 0: none */
    _Atomic uint32_t events;  /* first registration: the application's mask */
    _Atomic uint32_t more;    /* further registrations: index + 1 in WATCHES */
    _Atomic uint64_t data;    /* first registration: the application's data */
    _Atomic uint32_t relayed; /* number + 1 of the association that its datagrams use; 0: none */
    _Atomic uint32_t bound;   /* low 32 bits of the cookie of a stream that was bound to a port that the kernel chose;
                               * else 0. It makes the size a power of two, so that indexing is a shift */
};
struct s5_chunk {
    struct s5_slot slots[S5_CHUNK_SLOTS];
};

/* A further registration of one descriptor. EP 0: a gap, which that descriptor may use again. */
struct s5_watch {
    _Atomic int32_t ep;
    _Atomic uint32_t events;
    _Atomic uint64_t data;
    _Atomic uint32_t next; /* index + 1; 0: the last */
};

struct s5_registry {
    struct s5_chunk near;                       /* the first chunk; its pages are allocated on first use */
    struct s5_chunk *_Atomic chunks[S5_CHUNKS]; /* [0] is always NULL */
    struct s5_record *_Atomic records;          /* S5_RECORDS of them, mapped on first use */
    struct s5_record_more *_Atomic more;        /* S5_RECORDS of them, for the records that need one */
    _Atomic uint64_t records_free;              /* head of the free list: tag << 32 | index + 1 */
    _Atomic uint32_t records_used;
    struct s5_watch *_Atomic watches;
    _Atomic uint32_t watches_used;
    _Atomic uint64_t dups[S5_DUPS]; /* a ring: from << 32 | to, each + 1 */
    _Atomic uint32_t dups_at;
    _Atomic uint32_t inflight_count; /* records in flight, and others whose reads and writes the engine must see: most
                                      * hooks test it first */
    _Atomic uint32_t in_transit[S5_IN_TRANSIT]; /* record index + 1, see calls/pass.c; 0: free */
    _Atomic uint32_t in_transit_count;
    _Atomic uint32_t listening; /* records that are LISTENING */
    /* Number of relayed descriptors, by descriptor number modulo the size. Reads and writes test it and
     * inflight_count first. */
    _Atomic uint16_t relayed[S5_CHUNK_SLOTS];
    _Atomic uint64_t inflight_list;             /* number of records in the list << 32 | its top: they are below it */
    _Atomic uint32_t inflight[S5_INFLIGHT_MAX]; /* the list: record index + 1; 0: a gap */
    _Atomic uint32_t completed;                 /* negotiations whose end this process knows or is about to know */
};

/* Returns the slot of FD, or NULL where its chunk does not exist. Never NULL below S5_CHUNK_SLOTS. */
static inline struct s5_slot *s5_registry_slot(const struct s5_registry *r, int fd)
{
    if (__builtin_expect((unsigned)fd < S5_CHUNK_SLOTS, 1))
        return (struct s5_slot *)(uintptr_t)&r->near.slots[fd];
    if ((unsigned)fd >= S5_CHUNKS * S5_CHUNK_SLOTS)
        return NULL;
    struct s5_chunk *chunk = atomic_load_explicit(&r->chunks[(unsigned)fd / S5_CHUNK_SLOTS], memory_order_acquire);
    return chunk ? &chunk->slots[(unsigned)fd % S5_CHUNK_SLOTS] : NULL;
}

/* Returns whether FD has no record, so that libc's function can be called for it. */
static inline bool s5_registry_foreign(const struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    return !slot || atomic_load_explicit(&slot->record, memory_order_acquire) == 0;
}

/* The first test of poll and select: returns whether records are in flight, LISTENING or attended. */
static inline bool s5_registry_waits(const struct s5_registry *r)
{
    return (atomic_load_explicit(&r->inflight_count, memory_order_acquire) |
            atomic_load_explicit(&r->listening, memory_order_acquire)) != 0;
}

static inline bool s5_registry_any_in_flight(const struct s5_registry *r)
{
    return atomic_load_explicit(&r->inflight_count, memory_order_acquire) != 0;
}

/* Adds BY, which may be negative, to the number of records that are not in flight but whose reads and writes the engine
 * must see. */
static inline void s5_registry_attend(struct s5_registry *r, int by)
{
    atomic_fetch_add(&r->inflight_count, (uint32_t)by);
}

/* Returns false where nothing is in flight and FD has no association. It is one test for both, because every read and
 * write of a program runs it. */
static inline bool s5_registry_streams(const struct s5_registry *r, int fd)
{
    const _Atomic uint16_t *relayed = r->relayed;
    __asm__("" : "+r"(relayed)); /* makes it an address in a register, not an offset added to each index */
    return atomic_load_explicit(&r->inflight_count, memory_order_acquire) |
           atomic_load_explicit(&relayed[(size_t)(unsigned)fd % S5_CHUNK_SLOTS], memory_order_acquire);
}

/* Returns the slot of FD, whose chunk is made where it is missing. NULL: FD is beyond the table, or memory is short. */
struct s5_slot *s5_registry_make(struct s5_registry *r, int fd);
/* Returns the record of INDEX (index + 1; S5_SLOT_NEEDS_CHECK is ignored), NULL for none. */
static inline struct s5_record *s5_registry_record(const struct s5_registry *r, uint32_t index)
{
    index &= ~S5_SLOT_NEEDS_CHECK;
    return index && index <= S5_RECORDS ? &atomic_load_explicit(&r->records, memory_order_acquire)[index - 1] : NULL;
}

/* Returns the record that FD names, whether it needs a check or not, or NULL. */
static inline struct s5_record *s5_registry_find(const struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    return slot ? s5_registry_record(r, atomic_load_explicit(&slot->record, memory_order_acquire)) : NULL;
}

/* Sets or clears S5_SLOT_NEEDS_CHECK in FD's slot. */
void s5_registry_set_needs_check(struct s5_registry *r, int fd, bool needs_check);
static inline bool s5_registry_needs_check(const struct s5_slot *slot)
{
    return atomic_load_explicit(&slot->record, memory_order_acquire) & S5_SLOT_NEEDS_CHECK;
}

/* A record is made in this order: new, filled by the caller, publish, s5_registry_inflight_add() where it is in flight,
 * name. So no thread finds an incomplete record, and none finds it by a descriptor before it is in the list. It ends in
 * the reverse order: drop, s5_registry_inflight_remove(), free.
 *
 *   - new: returns a record that no other thread knows; NULL: the table is full.
 *   - publish: makes the record alive, with one reference, which is the caller's.
 *   - name: makes FD name the record. 0: the reference is now that of FD's slot. -EALREADY: FD names a record that
 *     another thread set; -ENOBUFS: there is no slot. In both cases the reference remains the caller's.
 *   - enter: publish and name for a record that is not in flight. Where that fails, the record is freed. */
struct s5_record *s5_registry_new(struct s5_registry *r);
void s5_registry_publish(struct s5_record *record);
int s5_registry_name(struct s5_registry *r, int fd, struct s5_record *record);
int s5_registry_enter(struct s5_registry *r, int fd, struct s5_record *record);
/* Makes FD another name of RECORD. Returns as name, or -ESTALE: the record is not alive. */
int s5_registry_share(struct s5_registry *r, int fd, struct s5_record *record);
/* Makes FD name no record. Returns the record where this was its last reference: the caller disposes of its negotiation
 * and frees it by s5_registry_free(). Otherwise returns NULL, and record->fd is another descriptor that names it, or -1
 * where only threads hold the record; the last of them disposes of it. */
struct s5_record *s5_registry_drop(struct s5_registry *r, int fd);
/* The same where FD names RECORD, which is READY, and needs a check. True: it was the last reference. */
bool s5_registry_drop_unchecked(struct s5_registry *r, int fd, struct s5_record *record);
/* The same where FD names RECORD, which the caller holds. */
void s5_registry_drop_record(struct s5_registry *r, int fd, struct s5_record *record);
void s5_registry_free(struct s5_registry *r, struct s5_record *record);
/* Drops FD's record and frees it, where there is nothing to dispose of. */
void s5_registry_remove(struct s5_registry *r, int fd);

/* Returns the further part of RECORD, which it has from now on; NULL: memory is short. */
struct s5_record_more *s5_registry_more(struct s5_registry *r, struct s5_record *record);
/* Adds RECORD to the in-flight list; returns 0, or -ENOBUFS. Removes it, where it is in the list. */
int s5_registry_inflight_add(struct s5_registry *r, struct s5_record *record);
void s5_registry_inflight_remove(struct s5_registry *r, struct s5_record *record);
/* Adds MORE, 1 or -1, to the number of LISTENING records. */
void s5_registry_listens(struct s5_registry *r, int more);
static inline uint32_t s5_registry_inflight_top(const struct s5_registry *r)
{
    return (uint32_t)atomic_load(&r->inflight_list);
}
static inline uint32_t s5_registry_in_flight_count(const struct s5_registry *r)
{
    return (uint32_t)(atomic_load_explicit(&r->inflight_list, memory_order_relaxed) >> 32);
}
/* Returns the record at index AT of the list, NULL for a gap. Indices are below s5_registry_inflight_top(). */
struct s5_record *s5_registry_inflight_at(const struct s5_registry *r, uint32_t at);
static inline uint32_t s5_registry_completed(const struct s5_registry *r)
{
    return atomic_load(&r->completed);
}
/* To be called before a record shows that its negotiation has ended. */
static inline void s5_registry_count_completed(struct s5_registry *r)
{
    atomic_fetch_add(&r->completed, 1);
}

/* To be called in the child of a fork: corrects the in-flight list, which other threads may have been changing, and
 * removes these threads' references to its records. */
void s5_registry_recount(struct s5_registry *r);

/* Calls EACH for every descriptor that names RECORD. */
void s5_registry_each(struct s5_registry *r, struct s5_record *record,
                      void (*each)(void *user, int fd, struct s5_slot *slot), void *user);

#endif
