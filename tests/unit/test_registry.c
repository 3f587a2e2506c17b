/* The registry: records by descriptor, duplicates, the list of those in flight, registrations. */
#include "fd_notes.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

static struct s5_registry *get_registry(void)
{
    static struct s5_registry r; /* each test runs in its own process */
    return &r;
}

/* Makes a record for FD that is not in flight; NULL: there is none left. */
static struct s5_record *add_record(struct s5_registry *r, int fd)
{
    struct s5_record *record = s5_registry_new(r);
    return record && s5_registry_enter(r, fd, record) == 0 ? record : NULL;
}

Test(registry, unknown_descriptors_are_foreign)
{
    struct s5_registry *r = get_registry();
    cr_assert(s5_registry_foreign(r, 0));
    cr_assert(s5_registry_foreign(r, -1));
    cr_assert(s5_registry_foreign(r, 1 << 30));
    cr_assert_null(s5_registry_find(r, 3));
    cr_assert_null(s5_registry_drop(r, 3));
}

Test(registry, a_record_exists_as_long_as_its_last_descriptor)
{
    struct s5_registry *r = get_registry();
    struct s5_record *record = add_record(r, 5);
    cr_assert_not_null(record);
    cr_assert_not(s5_registry_foreign(r, 5));
    cr_assert_eq(s5_registry_find(r, 5), record);
    cr_assert_eq(s5_registry_share(r, 700, record), 0);
    cr_assert_null(s5_registry_drop(r, 5), "another name is left");
    cr_assert_eq(atomic_load(&record->fd), 700, "a live descriptor stands for it");
    cr_assert_eq(s5_registry_find(r, 700), record);
    cr_assert_eq(s5_registry_drop(r, 700), record);
    s5_registry_free(r, record);
    cr_assert_eq(add_record(r, 9), record, "a free record is used again");
}

Test(registry, a_full_table_refuses_records)
{
    struct s5_registry *r = get_registry();
    unsigned n = 0;
    while (add_record(r, (int)n))
        n++;
    cr_assert_eq(n, S5_RECORDS);
    s5_registry_free(r, s5_registry_drop(r, 17));
    cr_assert_not_null(add_record(r, 17));
    cr_assert_null(add_record(r, 18), "it names one");
    cr_assert_null(s5_registry_make(r, (int)(S5_CHUNKS * S5_CHUNK_SLOTS)));
}

Test(registry, those_in_flight_are_listed)
{
    struct s5_registry *r = get_registry();
    struct s5_record *records[3];
    for (int i = 0; i < 3; i++) {
        records[i] = add_record(r, i);
        cr_assert_eq(s5_registry_inflight_add(r, records[i]), 0);
    }
    cr_assert(s5_registry_any_in_flight(r));
    cr_assert_eq(s5_registry_inflight_top(r), 3);
    s5_registry_inflight_remove(r, records[1]);
    cr_assert_null(s5_registry_inflight_at(r, 1));
    cr_assert_eq(s5_registry_inflight_at(r, 2), records[2]);
    s5_registry_inflight_remove(r, records[0]);
    s5_registry_inflight_remove(r, records[2]);
    cr_assert_not(s5_registry_any_in_flight(r));
    struct s5_record *many[100];
    for (int i = 0; i < 100; i++)
        cr_assert_eq(s5_registry_inflight_add(r, many[i] = add_record(r, 10 + i)), 0);
    cr_assert_eq(s5_registry_inflight_top(r), 100);
    for (int i = 0; i < 100; i++)
        s5_registry_inflight_remove(r, many[i]);
    cr_assert_eq(s5_registry_inflight_top(r), 0, "an empty list is short again");
}

/* A record's position is looked up in the list. A record that is not in the list has none, whatever its fields
 * say. */
Test(registry, removing_one_keeps_the_positions_of_others)
{
    struct s5_registry *r = get_registry();
    struct s5_record *gone = add_record(r, 0), *first = add_record(r, 1), *none = add_record(r, 2);
    cr_assert(s5_registry_inflight_add(r, gone) == 0 && s5_registry_inflight_add(r, first) == 0);
    s5_registry_inflight_remove(r, gone);
    s5_registry_free(r, s5_registry_drop(r, 0));
    struct s5_record *again = add_record(r, 3); /* which had a position */
    cr_assert_eq(again, gone);
    s5_registry_inflight_remove(r, again);
    s5_registry_inflight_remove(r, none);
    s5_registry_inflight_remove(r, gone);
    cr_assert_eq(s5_registry_inflight_at(r, 1), first);
    cr_assert_eq(s5_registry_inflight_top(r), 2);
    cr_assert_eq(atomic_load(&r->inflight_count), 1);
    s5_registry_inflight_remove(r, first);
    s5_registry_inflight_remove(r, first);
    cr_assert_eq(s5_registry_inflight_top(r), 0, "once");
    cr_assert_null(s5_registry_inflight_at(r, S5_INFLIGHT_MAX), "there is nothing behind the list");
}

Test(registry, a_descriptor_refers_to_one_record)
{
    struct s5_registry *r = get_registry();
    struct s5_record *first = add_record(r, 5), *second = s5_registry_new(r);
    s5_registry_publish(second);
    cr_assert_eq(s5_registry_name(r, 5, second), -EALREADY);
    cr_assert_eq(s5_registry_find(r, 5), first);
    cr_assert_eq(s5_registry_name(r, (int)(S5_CHUNKS * S5_CHUNK_SLOTS), second), -ENOBUFS);
    cr_assert(s5_record_release(second), "it has no other name");
    s5_registry_free(r, second);
    cr_assert_eq(s5_registry_share(r, 6, second), -ESTALE, "it is free");
    cr_assert(s5_registry_foreign(r, 6));
    cr_assert(!s5_record_hold(second));
}

Test(registry, a_descriptor_is_dropped_only_with_its_record)
{
    struct s5_registry *r = get_registry();
    struct s5_record *record = add_record(r, 5), *next;
    cr_assert(s5_record_hold(record));
    s5_registry_set_needs_check(r, 5, true);
    s5_registry_drop_record(r, 5, record);
    cr_assert(s5_registry_foreign(r, 5));
    cr_assert_eq(atomic_load(&record->fd), -1);
    cr_assert_eq(s5_record_refs(record), 1, "the holder's");
    next = add_record(r, 5);
    s5_registry_drop_record(r, 5, record);
    s5_registry_drop_record(r, 6, record);
    cr_assert_eq(s5_registry_find(r, 5), next);
    cr_assert_eq(s5_record_refs(record), 1);
    cr_assert(s5_record_release(record));
}

Test(registry, an_association_is_dropped_with_its_descriptor)
{
    struct s5_registry *r = get_registry();
    struct s5_record *record = s5_registry_new(r), *next = s5_registry_new(r);
    record->relayed = 1;
    next->relayed = 2;
    cr_assert_eq(s5_registry_enter(r, 5, record), 0);
    cr_assert(s5_record_hold(record));
    cr_assert_null(s5_registry_drop(r, 5));
    cr_assert_eq(s5_registry_enter(r, 5, next), 0);
    s5_registry_drop_record(r, 5, record);
    cr_assert(s5_registry_streams(r, 5), "the next owner's stays");
    cr_assert(s5_record_hold(next));
    s5_registry_drop_record(r, 5, next);
    cr_assert_not(s5_registry_streams(r, 5));
}

enum { SOME = 6, ROUNDS = 200000 };
static struct s5_registry *shared;
static _Atomic int beyond; /* the top */

static void *add_and_remove(void *arg)
{
    struct s5_registry *r = shared;
    struct s5_record *own[SOME];
    for (int i = 0; i < SOME; i++)
        own[i] = add_record(r, (int)(intptr_t)arg + i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SOME; i++)
            s5_registry_inflight_add(r, own[i]);
        for (int i = 0; i < SOME; i++)
            beyond += own[i]->in_flight > s5_registry_inflight_top(r);
        for (int i = 0; i < SOME; i++)
            s5_registry_inflight_remove(r, own[i]);
    }
    return NULL;
}

/* A wait scans the list up to its top. A record beyond it would never be waited for, and a fork would take no
 * reference for it. */
Test(registry, none_in_flight_is_beyond_the_top)
{
    pthread_t threads[2];
    shared = get_registry();
    for (intptr_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, add_and_remove, (void *)(10 + i * SOME)), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(beyond, 0);
    cr_assert_eq(atomic_load(&shared->inflight_count), 0);
}

Test(registry, more_than_the_list_holds_is_refused)
{
    struct s5_registry *r = get_registry();
    for (unsigned i = 0; i < S5_INFLIGHT_MAX; i++)
        cr_assert_eq(s5_registry_inflight_add(r, add_record(r, (int)i)), 0);
    cr_assert_eq(s5_registry_inflight_add(r, add_record(r, (int)S5_INFLIGHT_MAX)), -ENOBUFS);
}

Test(registry, registrations_of_several_epolls)
{
    struct s5_registry *r = get_registry();
    struct s5_registration got;
    for (int ep = 10; ep < 14; ep++)
        cr_assert_eq(s5_registry_watch(r, 4, ep, (uint32_t)ep, (uint64_t)ep * 100), 0);
    s5_registry_watch(r, 4, 12, 99, 1);
    struct s5_slot *slot = s5_registry_slot(r, 4);
    int seen = 0;
    for (unsigned at = 0; s5_registry_registration(r, slot, at, &got); at++) {
        seen += got.ep;
        if (got.ep == 12)
            cr_assert(got.events == 99 && got.data == 1);
    }
    cr_assert_eq(seen, 10 + 11 + 12 + 13);
    s5_registry_unwatch(r, 4, 10);
    s5_registry_unwatch(r, 4, 13);
    for (unsigned at = 0; s5_registry_registration(r, slot, at, &got); at++)
        cr_assert(got.ep == -1 || got.ep == 11 || got.ep == 12);
}

Test(registry, duplicates_are_found_from_either_end)
{
    struct s5_registry *r = get_registry();
    uint32_t at = 0;
    s5_registry_note_dup(r, 3, 8);
    s5_registry_note_dup(r, 9, 3);
    cr_assert_eq(s5_registry_next_dup(r, 3, &at), 8);
    cr_assert_eq(s5_registry_next_dup(r, 3, &at), 9);
    cr_assert_eq(s5_registry_next_dup(r, 3, &at), -1);
    at = 0;
    cr_assert_eq(s5_registry_next_dup(r, 8, &at), 3);
}

static void *use_and_free(void *user)
{
    struct s5_registry *r = user;
    static _Atomic int next;
    int base = atomic_fetch_add(&next, 1) * 1000;
    for (int i = 0; i < 20000; i++) {
        struct s5_record *record = add_record(r, base + i % 500);
        if (!record || s5_registry_inflight_add(r, record) < 0)
            return (void *)1;
        s5_registry_inflight_remove(r, record);
        if (s5_registry_drop(r, base + i % 500) != record)
            return (void *)2;
        s5_registry_free(r, record);
    }
    return NULL;
}

Test(registry, threads_never_share_a_record)
{
    struct s5_registry *r = get_registry();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, use_and_free, r);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        cr_assert_null(result);
    }
    cr_assert_not(s5_registry_any_in_flight(r));
}
