/* The table of sockets that were passed over UNIX sockets. */
#include "passed.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct s5_shm *shm;

static void set_up(void)
{
    shm = calloc(1, sizeof *shm);
    cr_assert(shm);
}

static void tear_down(void)
{
    free(shm);
}

TestSuite(passed, .init = set_up, .fini = tear_down);

static struct s5_passed make_passed(uint16_t port)
{
    struct s5_passed what = {.state = S5_RECORD_READY, .internal = -1};
    what.peer.len = sizeof what.peer.v4;
    what.peer.v4.sin_family = AF_INET;
    what.peer.v4.sin_port = htons(port);
    return what;
}

static void write_one(uint64_t cookie, uint16_t port)
{
    struct s5_passed what = make_passed(port);
    s5_passed_write(shm, cookie, &what);
}

/* Returns the port of COOKIE's peer; -1: there is no entry. */
static int read_port(uint64_t cookie)
{
    struct s5_passed got;
    return s5_passed_read(shm, cookie, &got) ? ntohs(got.peer.v4.sin_port) : -1;
}

Test(passed, an_entry_is_found_by_its_cookie_only)
{
    cr_assert_eq(read_port(7), -1);
    cr_assert_eq(atomic_load(&shm->passed_ever), 0);
    write_one(7, 80);
    cr_assert_eq(read_port(7), 80);
    cr_assert_eq(read_port(8), -1);
    cr_assert_neq(atomic_load(&shm->passed_ever), 0);
}

Test(passed, writing_again_replaces_the_data_and_keeps_the_counts)
{
    write_one(7, 80);
    atomic_fetch_add(&s5_passed_find(shm, 7)->sent, 1);
    write_one(7, 81);
    cr_assert_eq(read_port(7), 81);
    cr_assert_eq(atomic_load(&s5_passed_find(shm, 7)->sent), 1);
    s5_passed_erase(shm, 7);
    cr_assert_eq(read_port(7), -1);
    write_one(7, 82);
    cr_assert_eq(atomic_load(&s5_passed_find(shm, 7)->sent), 0, "another life has counts of its own");
}

Test(passed, the_table_is_bounded_and_has_the_latest_entry)
{
    unsigned there = 0;
    for (uint64_t cookie = 1; cookie <= 100000; cookie++) {
        write_one(cookie, (uint16_t)cookie);
        cr_assert_eq(read_port(cookie), (uint16_t)cookie);
    }
    for (uint64_t cookie = 1; cookie <= 100000; cookie++)
        there += read_port(cookie) >= 0;
    cr_assert(there > S5_SHM_PASSED / 2 && there <= S5_SHM_PASSED, "%u", there);
}

Test(passed, a_killed_writer_makes_only_its_entry_unusable)
{
    write_one(7, 80);
    atomic_fetch_add(&s5_passed_find(shm, 7)->version, 1);
    cr_assert_eq(read_port(7), -1, "what it left is not read");
    for (uint64_t cookie = 8; cookie < 5000; cookie++) {
        write_one(cookie, 81);
        cr_assert_eq(read_port(cookie), 81);
    }
}

Test(passed, invalid_entries_are_not_read)
{
    struct s5_passed got, *p;
    write_one(7, 80);
    p = s5_passed_find(shm, 7);
    cr_assert(s5_passed_read(shm, 7, &got));
    p->peer.len = 4000;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->peer.len = sizeof p->peer.v4;
    p->peer.any.sa_family = AF_UNIX;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->peer.any.sa_family = AF_INET;
    p->local.len = 1;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->local.len = 0;
    p->error = 5;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->error = -5000;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->error = -ECONNREFUSED;
    p->family = AF_UNIX;
    cr_assert_null(s5_passed_read(shm, 7, &got));
    p->family = AF_INET6;
    cr_assert(s5_passed_read(shm, 7, &got));
}
