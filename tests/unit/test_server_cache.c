/* What is learnt of servers, and its file. */
#include "server_cache.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOW 1000000000000ull /* ms */

static struct s5_server_cache_entry table[S5_SERVER_CACHE_ENTRIES], other[S5_SERVER_CACHE_ENTRIES];
static char directory[] = "/tmp/servers-XXXXXX", path[64], kept[S5_SERVER_CACHE_PATH];

static void make_directory(void)
{
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/servers", directory);
}

static void remove_directory(void)
{
    unlink(path);
    rmdir(directory);
}

TestSuite(server_cache_file, .init = make_directory, .fini = remove_directory);

Test(server_cache_file, has_no_old_lines)
{
    FILE *f = fopen(path, "w");
    long long ago = (long long)time(NULL) - 60;
    fprintf(f, "%lld 11 1\n%lld 12 2\n5 13 1\nrubbish\n%lld 14 9\n%lld 0 1\n%lld 15 200\n", ago, ago, ago, ago + 60,
            ago);
    fclose(f);
    s5_server_cache_open(table, directory, kept);
    cr_assert_str_eq(kept, path);
    cr_assert_eq(s5_server_cache_pipelining(table, 11), S5_PIPELINING_SUPPORTED);
    cr_assert_eq(s5_server_cache_pipelining(table, 12), S5_PIPELINING_UNSUPPORTED);
    cr_assert_eq(s5_server_cache_pipelining(table, 13), S5_PIPELINING_UNKNOWN, "weeks ago");
    cr_assert_eq(s5_server_cache_pipelining(table, 14), S5_PIPELINING_UNKNOWN, "no such value");
    cr_assert_eq(atomic_load(&table[15].down), 0, "no such value");
    s5_server_cache_set_pipelining(table, kept, 16, S5_PIPELINING_UNSUPPORTED);
    s5_server_cache_open(other, directory, kept);
    cr_assert_eq(s5_server_cache_pipelining(other, 16), S5_PIPELINING_UNSUPPORTED,
                 "learnt by one run, known to the next");
}

/* What --check says of a server that is down. */
Test(server_cache_file, says_since_when_a_server_is_down)
{
    struct s5_server_down down;
    uint64_t now = (uint64_t)time(NULL) * 1000;
    s5_server_cache_read(table, directory);
    cr_assert_eq(access(path, F_OK), -1, "reading makes no file");
    s5_server_cache_open(table, directory, kept);
    cr_assert(!s5_server_cache_get_down(table, 31, now, &down));
    s5_server_cache_set_down(table, kept, 31, now, true);
    s5_server_cache_set_down(table, kept, 31, now, true);
    cr_assert(s5_server_cache_get_down(table, 31, now, &down));
    cr_assert(down.failures == 2 && down.last == now && down.left == 2000);
    cr_assert(s5_server_cache_get_down(table, 31, now + 5000, &down) && down.left == 0);
    s5_server_cache_read(other, directory);
    cr_assert(s5_server_cache_get_down(other, 31, now, &down) && down.failures == 2);
    cr_assert(down.last >= now && down.last <= now + 1000, "a line has whole seconds");
    s5_server_cache_set_up(table, kept, 31);
    cr_assert(!s5_server_cache_get_down(table, 31, now, &down));
}

Test(server_cache_file, knows_which_servers_are_down)
{
    uint64_t now = (uint64_t)time(NULL) * 1000 + 999;
    s5_server_cache_open(table, directory, kept);
    s5_server_cache_set_down(table, kept, 21, now, false);
    s5_server_cache_set_down(table, kept, 22, now, false);
    s5_server_cache_set_pipelining(table, kept, 22, S5_PIPELINING_SUPPORTED);
    s5_server_cache_set_up(table, kept, 22);
    s5_server_cache_open(other, directory, kept);
    cr_assert_geq(s5_server_cache_down_for(other, 21, now), 1000, "not shorter than in the first run");
    cr_assert_leq(s5_server_cache_down_for(other, 21, now), 2000);
    cr_assert_eq(s5_server_cache_down_for(other, 22, now), 0);
    cr_assert_eq(s5_server_cache_pipelining(other, 22), S5_PIPELINING_SUPPORTED);
}

Test(server_cache_file, is_rewritten_when_it_is_long)
{
    struct stat st;
    FILE *f = fopen(path, "w");
    long long now = (long long)time(NULL);
    for (int i = 0; i < 20000; i++)
        fprintf(f, "%lld 11 1\n%lld 12 22\n", now, now);
    fclose(f);
    s5_server_cache_open(table, directory, kept);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_lt(st.st_size, 100, "%lld octets", (long long)st.st_size);
    s5_server_cache_open(other, directory, kept);
    cr_assert_eq(s5_server_cache_pipelining(other, 11), S5_PIPELINING_SUPPORTED);
    cr_assert_eq(atomic_load(&other[12].down), atomic_load(&table[12].down));
    cr_assert_neq(atomic_load(&other[12].down), 0);
}

Test(server_cache, a_full_table_takes_no_new_entries)
{
    for (uint64_t key = 1; key <= S5_SERVER_CACHE_ENTRIES; key++)
        s5_server_cache_set_pipelining(table, "", key, S5_PIPELINING_SUPPORTED);
    s5_server_cache_set_pipelining(table, "", 1000, S5_PIPELINING_UNSUPPORTED);
    s5_server_cache_set_down(table, "", 1000, NOW, false);
    cr_assert_eq(s5_server_cache_pipelining(table, 1000), S5_PIPELINING_UNKNOWN);
    cr_assert_eq(s5_server_cache_try(table, 1000, NOW, 1), S5_SERVER_UP);
    cr_assert_eq(s5_server_cache_pipelining(table, 1), S5_PIPELINING_SUPPORTED);
}

Test(server_cache, a_server_that_is_down_is_left_alone_for_a_time_that_doubles)
{
    static const uint32_t pauses[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    uint64_t now = NOW;
    cr_assert_eq(s5_server_cache_try(table, 7, now, 500), S5_SERVER_UP);
    s5_server_cache_set_down(table, "", 7, now, false);
    for (unsigned i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        cr_assert_eq(s5_server_cache_down_for(table, 7, now), pauses[i], "pause %u", i);
        cr_assert_eq(s5_server_cache_try(table, 7, now + pauses[i] - 1, 500), S5_SERVER_DOWN);
        now += pauses[i];
        cr_assert_eq(s5_server_cache_try(table, 7, now, 500), S5_SERVER_TO_PROBE);
        cr_assert_eq(s5_server_cache_try(table, 7, now, 500), S5_SERVER_DOWN, "one connection tries it");
        s5_server_cache_set_down(table, "", 7, now, true);
    }
    s5_server_cache_set_up(table, "", 7);
    cr_assert_eq(s5_server_cache_try(table, 7, now, 500), S5_SERVER_UP);
    s5_server_cache_set_down(table, "", 7, now, false);
    cr_assert_eq(s5_server_cache_down_for(table, 7, now), 1000, "as at first");
}

Test(server_cache, many_failures_at_the_same_time_count_once)
{
    for (int i = 0; i < 500; i++)
        s5_server_cache_set_down(table, "", 7, NOW + (uint64_t)i, false);
    cr_assert_eq(s5_server_cache_down_for(table, 7, NOW), 1000);
}

Test(server_cache, a_probe_without_a_result_ends)
{
    s5_server_cache_set_down(table, "", 7, NOW, false);
    cr_assert_eq(s5_server_cache_try(table, 7, NOW + 1000, 3000), S5_SERVER_TO_PROBE);
    cr_assert_eq(s5_server_cache_try(table, 7, NOW + 3999, 3000), S5_SERVER_DOWN);
    cr_assert_eq(s5_server_cache_try(table, 7, NOW + 4000, 3000), S5_SERVER_TO_PROBE);
}

Test(server_cache, a_clock_that_is_set_back_does_not_bar_a_server)
{
    s5_server_cache_set_down(table, "", 7, NOW, false);
    cr_assert_eq(s5_server_cache_try(table, 7, NOW - 7200 * 1000, 500), S5_SERVER_TO_PROBE);
}

Test(server_cache, requests_that_are_answered_by_a_close_are_counted_until_one_succeeds)
{
    cr_assert_eq(s5_server_cache_count_closed(table, 7), 1);
    cr_assert_eq(s5_server_cache_count_closed(table, 7), 2);
    s5_server_cache_set_up(table, "", 7);
    cr_assert_eq(s5_server_cache_count_closed(table, 7), 1);
}

Test(server_cache, servers_differ_by_host_port_and_user)
{
    static struct s5_policy p;
    s5_policy_init(&p);
    struct s5_server a = {.host = (uint32_t)s5_policy_add_text(&p, "a.example", 9), .port = 1080}, b = a;
    cr_assert_eq(s5_server_cache_key(&p, &a), s5_server_cache_key(&p, &b));
    b.port = 1081;
    cr_assert_neq(s5_server_cache_key(&p, &a), s5_server_cache_key(&p, &b));
    b = a;
    b.username_len = 1;
    b.username[0] = 'u';
    cr_assert_neq(s5_server_cache_key(&p, &a), s5_server_cache_key(&p, &b));
    b = a;
    b.host = (uint32_t)s5_policy_add_text(&p, "b.example", 9);
    cr_assert_neq(s5_server_cache_key(&p, &a), s5_server_cache_key(&p, &b));
}
