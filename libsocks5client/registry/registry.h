/* What this process knows of its descriptors.
 *
 * A slot a descriptor: the first chunk of them is at hand, a look-up there is one load; the others
 * are reached through a table of atomic pointers. A slot names the record of an open file
 * description that is ours, and remembers where the descriptor is registered with epoll (also while
 * it is not ours: a program may register a socket first and connect it later). Chunks and records
 * are never unmapped, so a reader may hold a stale pointer and find out by its generation; nothing
 * here takes a lock. */
#ifndef S5_REGISTRY_H
#define S5_REGISTRY_H

#include "record.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define S5_CHUNK_SLOTS  1024u
#define S5_CHUNKS       1024u /* descriptors up to 1,048,575 */
#define S5_RECORDS      65536u
#define S5_WATCHES      4096u  /* registrations in a second epoll instance and further ones */
#define S5_INFLIGHT_MAX 16384u /* negotiations in flight in one process */
#define S5_IN_TRANSIT   32u    /* records held for a message that was not received yet */
#define S5_DUPS         64u    /* duplications remembered of descriptors that are not ours */

/* The descriptor was closed, by this process or by a child of vfork that shares its memory: which of
 * both, the next to use the slot finds out by the socket's cookie. */
#define S5_SLOT_NEEDS_CHECK 0x80000000u

struct s5_slot {
    _Atomic uint32_t record;  /* index + 1, and S5_SLOT_NEEDS_CHECK; 0: not ours */
    _Atomic int32_t ep;       /* epoll descriptor + 1 of the first registration; 0: none */
    _Atomic uint32_t events;  /* the application's mask there */
    _Atomic uint32_t more;    /* further registrations: index + 1 in watches */
    _Atomic uint64_t data;    /* the application's data there */
    _Atomic uint32_t relayed; /* number + 1 of the association its datagrams go through; 0: none */
    _Atomic uint32_t bound;   /* a stream was bound to a port of the kernel's choice: its cookie's last
                             * bits; else 0. Makes the size a power of two, and an index a shift */
};
struct s5_chunk {
    struct s5_slot slots[S5_CHUNK_SLOTS];
};

/* A further registration of one descriptor; ep 0: free to use again by that descriptor. */
struct s5_watch {
    _Atomic int32_t ep;
    _Atomic uint32_t events;
    _Atomic uint64_t data;
    _Atomic uint32_t next; /* index + 1 */
};

struct s5_registry {
    struct s5_chunk near;                       /* the first one; its pages come as they are used */
    struct s5_chunk *_Atomic chunks[S5_CHUNKS]; /* [0] stays NULL */
    struct s5_record *_Atomic records;          /* S5_RECORDS of them, mapped on first use */
    struct s5_record_more *_Atomic more;        /* the same number, for those that need it */
    _Atomic uint64_t records_free;              /* tag << 32 | index + 1 */
    _Atomic uint32_t records_used;
    struct s5_watch *_Atomic watches;
    _Atomic uint32_t watches_used;
    _Atomic uint64_t dups[S5_DUPS]; /* from << 32 | to, each + 1 */
    _Atomic uint32_t dups_at;
    _Atomic uint32_t inflight_count;            /* records in flight, and others whose octets matter: the gate
                                    * of most hooks */
    _Atomic uint32_t in_transit[S5_IN_TRANSIT]; /* record index + 1, see calls/pass.c; 0: free */
    _Atomic uint32_t in_transit_count;
    _Atomic uint32_t listening; /* records that are LISTENING */
    /* How many descriptors of that number, modulo the size, are relayed: with inflight_count the gate
     * of reading and writing. */
    _Atomic uint16_t relayed[S5_CHUNK_SLOTS];
    _Atomic uint64_t inflight_list;             /* records in the list << 32 | the places below which they are */
    _Atomic uint32_t inflight[S5_INFLIGHT_MAX]; /* record index + 1; 0: a gap */
    _Atomic uint32_t completed;                 /* counts those whose end this process knows, or is about to know */
};

/* The slot of FD where its chunk exists, else NULL. Below S5_CHUNK_SLOTS there always is one. */
static inline struct s5_slot *s5_registry_slot(const struct s5_registry *r, int fd)
{
    if (__builtin_expect((unsigned)fd < S5_CHUNK_SLOTS, 1))
        return (struct s5_slot *)(uintptr_t)&r->near.slots[fd];
    if ((unsigned)fd >= S5_CHUNKS * S5_CHUNK_SLOTS)
        return NULL;
    struct s5_chunk *chunk = atomic_load_explicit(&r->chunks[(unsigned)fd / S5_CHUNK_SLOTS], memory_order_acquire);
    return chunk ? &chunk->slots[(unsigned)fd % S5_CHUNK_SLOTS] : NULL;
}

/* Nothing is known of FD that a call on it would have to respect. */
static inline bool s5_registry_foreign(const struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    return !slot || atomic_load_explicit(&slot->record, memory_order_acquire) == 0;
}

/* The gate of poll and select. */
static inline bool s5_registry_waits(const struct s5_registry *r)
{
    return (atomic_load_explicit(&r->inflight_count, memory_order_acquire) |
            atomic_load_explicit(&r->listening, memory_order_acquire)) != 0;
}

static inline bool s5_registry_any_in_flight(const struct s5_registry *r)
{
    return atomic_load_explicit(&r->inflight_count, memory_order_acquire) != 0;
}

/* BY more records (or fewer) whose reads and writes must come to the engine without a flight. */
static inline void s5_registry_attend(struct s5_registry *r, int by)
{
    atomic_fetch_add(&r->inflight_count, (uint32_t)by);
}

/* False: nothing is in flight, and FD has no association. One test for both: every read and write
 * of a program asks. */
static inline bool s5_registry_streams(const struct s5_registry *r, int fd)
{
    const _Atomic uint16_t *relayed = r->relayed;
    __asm__("" : "+r"(relayed)); /* an address, not an offset to add to the index */
    return atomic_load_explicit(&r->inflight_count, memory_order_acquire) |
           atomic_load_explicit(&relayed[(size_t)(unsigned)fd % S5_CHUNK_SLOTS], memory_order_acquire);
}

/* The same, made when missing; NULL: FD is beyond the table, or memory short. */
struct s5_slot *s5_registry_make(struct s5_registry *r, int fd);
/* The record of INDEX (+ 1, with or without doubt), NULL for none. */
static inline struct s5_record *s5_registry_record(const struct s5_registry *r, uint32_t index)
{
    index &= ~S5_SLOT_NEEDS_CHECK;
    return index && index <= S5_RECORDS ? &atomic_load_explicit(&r->records, memory_order_acquire)[index - 1] : NULL;
}

/* The record FD names (without doubt or with it), or NULL. */
static inline struct s5_record *s5_registry_find(const struct s5_registry *r, int fd)
{
    struct s5_slot *slot = s5_registry_slot(r, fd);
    return slot ? s5_registry_record(r, atomic_load_explicit(&slot->record, memory_order_acquire)) : NULL;
}

/* Set the doubt of FD's slot, or take it back. */
void s5_registry_set_needs_check(struct s5_registry *r, int fd, bool needs_check);
static inline bool s5_registry_needs_check(const struct s5_slot *slot)
{
    return atomic_load_explicit(&slot->record, memory_order_acquire) & S5_SLOT_NEEDS_CHECK;
}

/* A record comes into being in this order: new, filled by the caller, publish, s5_registry_inflight_add() where it is
 * in flight, name. So nobody finds one that is not whole, nor under a descriptor before it is in the list. It
 * ends in the reverse order: drop, land, free.
 *
 * new: one that nobody else knows; NULL: the table is full. publish: it is alive, with one reference, the
 * caller's. name: that is FD's now; -EALREADY: FD names one, which another thread gave it; -ENOBUFS. Then the
 * reference is the caller's still. enter: publish and name for one that is not in flight; where that fails it is
 * given back. */
struct s5_record *s5_registry_new(struct s5_registry *r);
void s5_registry_publish(struct s5_record *record);
int s5_registry_name(struct s5_registry *r, int fd, struct s5_record *record);
int s5_registry_enter(struct s5_registry *r, int fd, struct s5_record *record);
/* FD names RECORD too. As name; -ESTALE: it is not alive. */
int s5_registry_share(struct s5_registry *r, int fd, struct s5_record *record);
/* FD names nothing any more. Returns the record where this was its last reference: the caller disposes
 * of its flight and gives it back with s5_registry_free. Else NULL, and record->fd is a live one (-1
 * where a thread holds the record, which then disposes of it). */
struct s5_record *s5_registry_drop(struct s5_registry *r, int fd);
/* The same where FD names RECORD in doubt, which is READY. True: it was the last reference. */
bool s5_registry_drop_unchecked(struct s5_registry *r, int fd, struct s5_record *record);
/* The same where FD names RECORD, which the caller holds. */
void s5_registry_drop_record(struct s5_registry *r, int fd, struct s5_record *record);
void s5_registry_free(struct s5_registry *r, struct s5_record *record);
/* Both, where there is nothing to dispose of. */
void s5_registry_remove(struct s5_registry *r, int fd);

/* What RECORD has beside itself, from now on; NULL: memory is short. */
struct s5_record_more *s5_registry_more(struct s5_registry *r, struct s5_record *record);
/* Into the list of those in flight, and out of it where RECORD is in it. 0, or -ENOBUFS. */
int s5_registry_inflight_add(struct s5_registry *r, struct s5_record *record);
void s5_registry_inflight_remove(struct s5_registry *r, struct s5_record *record);
/* One LISTENING record more, one less. */
void s5_registry_listens(struct s5_registry *r, int more);
static inline uint32_t s5_registry_inflight_top(const struct s5_registry *r)
{
    return (uint32_t)atomic_load(&r->inflight_list);
}
static inline uint32_t s5_registry_in_flight_count(const struct s5_registry *r)
{
    return (uint32_t)(atomic_load_explicit(&r->inflight_list, memory_order_relaxed) >> 32);
}
/* The record in place AT of the list, or NULL for a gap; places go up to that top. */
struct s5_record *s5_registry_inflight_at(const struct s5_registry *r, uint32_t at);
static inline uint32_t s5_registry_completed(const struct s5_registry *r)
{
    return atomic_load(&r->completed);
}
/* Before anything of a record says that its negotiation is over. */
static inline void s5_registry_count_completed(struct s5_registry *r)
{
    atomic_fetch_add(&r->completed, 1);
}

/* In the child of a fork: the list of those in flight, in which other threads may have been at work, is right, and the
 * references of these threads to its records are gone. */
void s5_registry_recount(struct s5_registry *r);

/* Call EACH for every descriptor that names RECORD. */
void s5_registry_each(struct s5_registry *r, struct s5_record *record,
                      void (*each)(void *user, int fd, struct s5_slot *slot), void *user);

#endif
