/* The pool of fake addresses: one map for all processes, even if one that writes it is killed. */
#include "fake_pool.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *map_shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(at != MAP_FAILED);
    return at;
}

static struct s5_fake_pool *new_pool(void)
{
    struct s5_fake_pool *pool = map_shared(sizeof *pool);
    cr_assert(s5_fake_pool_unseeded(pool));
    s5_fake_pool_seed(pool, 4711);
    cr_assert_not(s5_fake_pool_unseeded(pool));
    return pool;
}

static uint32_t give_name(struct s5_fake_pool *pool, uint32_t n, const char *text)
{
    struct s5_addr name;
    struct s5_fake_pool_key key;
    cr_assert_eq(s5_addr_parse(&name, text, strlen(text), 0), 0, "%s", text);
    s5_fake_pool_key(pool, &name, &key);
    return s5_fake_pool_get(pool, &key, n);
}

static uint32_t give_number(struct s5_fake_pool *pool, uint32_t n, unsigned i)
{
    char text[48];
    snprintf(text, sizeof text, "host-%u.of-many.example", i);
    return give_name(pool, n, text);
}

static bool is_name(struct s5_fake_pool *pool, uint32_t number, const char *text)
{
    struct s5_addr name;
    return s5_fake_pool_name(pool, number, &name) && name.kind == S5_ADDR_NAME &&
           name.name_len == strlen(text) && strcmp(name.name, text) == 0;
}

static bool is_number(struct s5_fake_pool *pool, uint32_t number, unsigned i)
{
    char text[48];
    snprintf(text, sizeof text, "host-%u.of-many.example", i);
    return is_name(pool, number, text);
}

Test(pool, gives_one_number_to_a_name)
{
    struct s5_fake_pool *pool = new_pool();
    struct s5_addr name;
    uint32_t one = give_name(pool, S5_FAKE_POOL_SLOTS, "one.example");
    cr_assert(one > 0 && one < S5_FAKE_POOL_SLOTS - 1);
    cr_assert_eq(give_name(pool, S5_FAKE_POOL_SLOTS, "ONE.Example"), one, "whatever its letters' case");
    cr_assert_neq(give_name(pool, S5_FAKE_POOL_SLOTS, "one.example."), one, "a dot at its end is of it");
    cr_assert_neq(give_name(pool, S5_FAKE_POOL_SLOTS, "two.example"), one);
    cr_assert(is_name(pool, one, "one.example"));
    cr_assert_not(s5_fake_pool_name(pool, 0, &name));
    cr_assert_not(s5_fake_pool_name(pool, one + 3, &name));
    cr_assert_not(s5_fake_pool_name(pool, S5_FAKE_POOL_SLOTS, &name));
    cr_assert_not(s5_fake_pool_name(pool, UINT32_MAX, &name));
}

Test(pool, accepts_names_of_1_to_255_octets)
{
    struct s5_fake_pool *pool = new_pool();
    char text[256];
    uint32_t numbers[256];
    for (size_t len = 1; len <= 255; len++) {
        memset(text, 'Z', len), text[len] = 0;
        numbers[len] = give_name(pool, 65536, text);
    }
    for (size_t len = 1; len <= 255; len++) {
        memset(text, 'z', len), text[len] = 0;
        cr_assert(is_name(pool, numbers[len], text), "%zu", len);
    }
    const char *edges = "@[`{AZaz09-_~!";
    cr_assert(is_name(pool, give_name(pool, 65536, edges), "@[`{azaz09-_~!"));
}

Test(pool, holds_65536_names_and_more)
{
    struct s5_fake_pool *pool = new_pool();
    uint32_t *numbers = malloc(130000 * sizeof *numbers);
    for (unsigned i = 0; i < 130000; i++)
        cr_assert((numbers[i] = give_number(pool, S5_FAKE_POOL_SLOTS, i)), "%u", i);
    for (unsigned i = 0; i < 130000; i++) {
        cr_assert(is_number(pool, numbers[i], i), "%u", i);
        cr_assert_eq(give_number(pool, S5_FAKE_POOL_SLOTS, i), numbers[i], "%u", i);
    }
    free(numbers);
}

Test(pool, reuses_the_least_recently_used_numbers)
{
    enum { N = 65536, ALL = 2 * N + N / 2 };
    struct s5_fake_pool *pool = new_pool();
    uint32_t kept = give_name(pool, N, "kept.example"), by_address = give_name(pool, N, "connected.example");
    uint32_t lost = give_name(pool, N, "lost.example");
    struct s5_addr name;
    for (unsigned i = 0; i < ALL; i++) {
        uint32_t number = give_number(pool, N, i);
        cr_assert(number && is_number(pool, number, i), "%u", i);
        if (i % (N / 4))
            continue;
        cr_assert_eq(give_name(pool, N, "kept.example"), kept, "%u", i);
        cr_assert(is_name(pool, by_address, "connected.example"), "%u", i);
    }
    cr_assert(s5_fake_pool_name(pool, lost, &name) && strncmp(name.name, "host-", 5) == 0);
    for (unsigned i = ALL - N / 2 + N / 8; i < ALL; i++)
        cr_assert(give_number(pool, N, i), "%u", i);
}

/* All names were looked up recently. A new one still gets a number, and replaces exactly one of them. */
Test(pool, replaces_one_of_the_recently_used_names)
{
    enum { N = 16384, ALL = N - 2 };
    struct s5_fake_pool *pool = new_pool();
    static uint32_t numbers[ALL];
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < ALL; i++)
            numbers[i] = give_number(pool, N, i);
    uint32_t more = give_number(pool, N, ALL);
    cr_assert(more && more < N - 1 && is_number(pool, more, ALL));
    unsigned lost = 0;
    for (unsigned i = 0; i < ALL; i++)
        if (!is_number(pool, numbers[i], i)) {
            cr_assert_eq(numbers[i], more, "%u", i);
            lost++;
        }
    cr_assert_eq(lost, 1);
}

/* The first and the last address of a network are not assigned. */
Test(pool, has_no_number_in_a_network_of_two)
{
    struct s5_fake_pool *pool = new_pool();
    cr_assert_eq(give_name(pool, 2, "one.example"), 0);
    uint32_t one = give_name(pool, 3, "one.example");
    cr_assert_eq(one, 1);
    cr_assert(is_name(pool, one, "one.example"));
}

/* --- concurrent use --- */

enum { PROCESSES = 8, THREADS = 8, NAMES = 3000 };
static struct s5_fake_pool *all;
static uint32_t (*seen)[NAMES];

static void *look_up_all(void *which)
{
    unsigned me = (unsigned)(uintptr_t)which;
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned name = me % 2 ? i : NAMES - 1 - i;
        seen[me][name] = give_number(all, S5_FAKE_POOL_SLOTS, name);
        if (!is_number(all, seen[me][name], name))
            abort();
    }
    return NULL;
}

static void look_up_in_threads(unsigned process)
{
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, look_up_all, (void *)(uintptr_t)(process * THREADS + t));
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
}

Test(pool, is_one_map_for_8_processes_of_8_threads, .timeout = 120)
{
    all = new_pool();
    seen = map_shared(sizeof *seen * PROCESSES * THREADS);
    for (unsigned p = 1; p < PROCESSES; p++)
        if (fork() == 0) {
            look_up_in_threads(p);
            _exit(0);
        }
    look_up_in_threads(0);
    for (int status; wait(&status) > 0;)
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (unsigned i = 0; i < NAMES; i++)
        for (unsigned thread = 0; thread < PROCESSES * THREADS; thread++)
            cr_assert(seen[thread][i] && seen[thread][i] == seen[0][i], "%u of %u", i, thread);
}

/* Two threads look up a new name at the same moment, thousands of times. */
enum { ROUNDS = 20000 };
static _Atomic unsigned arrived;
static uint32_t numbers_of[2][ROUNDS];

static void *look_up_together(void *which)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&arrived, 1);
        for (unsigned spins = 0; atomic_load(&arrived) < 2 * (i + 1); spins++)
            if (spins > 2000)
                sched_yield();
        numbers_of[(uintptr_t)which][i] = give_number(all, S5_FAKE_POOL_SLOTS, i);
    }
    return NULL;
}

Test(pool, gives_one_number_to_concurrent_lookups_of_a_name, .timeout = 120)
{
    pthread_t other;
    all = new_pool();
    cr_assert_eq(pthread_create(&other, NULL, look_up_together, (void *)1), 0);
    look_up_together((void *)0);
    cr_assert_eq(pthread_join(other, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        cr_assert_eq(numbers_of[0][i], numbers_of[1][i], "%u", i);
        cr_assert(is_number(all, numbers_of[0][i], i), "%u", i);
        cr_assert_leq(numbers_of[0][i], i + 64, "what was taken for nothing is given to the next: %u", i);
    }
}

/* A writer is killed 150 times, at a random moment. */
Test(pool, is_consistent_after_writers_were_killed, .timeout = 120)
{
    enum { KILLS = 150, N = 65536 };
    struct s5_fake_pool *pool = new_pool();
    uint32_t *seen_numbers = map_shared(sizeof *seen_numbers * N);
    unsigned next = 0;
    srand(7);
    for (unsigned kill_no = 0; kill_no < KILLS; kill_no++) {
        pid_t child = fork();
        if (child == 0)
            for (unsigned i = next;; i++)
                seen_numbers[i % N] = give_number(pool, N, i % N);
        usleep((useconds_t)(rand() % 3000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        next += (unsigned)rand() % 977;
        unsigned one = (unsigned)rand() % N;
        uint32_t number = give_number(pool, N, one);
        cr_assert(number && is_number(pool, number, one), "after %u", kill_no);
        cr_assert_eq(give_number(pool, N, one), number);
    }
    unsigned known = 0;
    for (unsigned i = 0; i < N / 2; i++)
        if (seen_numbers[i]) {
            known++;
            uint32_t number = give_number(pool, N, i);
            cr_assert(is_number(pool, number, i), "%u", i);
        }
    cr_assert_gt(known, 100u);
}

Test(pool, a_copy_gives_other_numbers_and_keeps_names)
{
    enum { N = 4096, BEFORE = 100, AFTER = 400 };
    struct s5_fake_pool *pool = new_pool(), *copy = map_shared(sizeof *copy);
    uint32_t first[AFTER];
    for (unsigned drawn = 0; drawn < 5000; drawn += 999) {
        for (unsigned i = 0; i < BEFORE; i++)
            first[i] = give_number(pool, N, i);
        memcpy(copy, pool, sizeof *pool);
        s5_fake_pool_detach(copy, N, drawn);
        for (unsigned i = BEFORE; i < AFTER; i++)
            first[i] = give_number(pool, N, i);
        for (unsigned i = BEFORE; i < AFTER; i++) {
            uint32_t number = give_number(copy, N, 10000 + i);
            cr_assert(number);
            for (unsigned j = 0; j < AFTER; j++)
                cr_assert_neq(number, first[j], "%u", drawn);
        }
        for (unsigned i = 0; i < BEFORE; i++)
            cr_assert(is_number(copy, first[i], i) && give_number(copy, N, i) == first[i]);
    }
}
