/* The shared state of a process tree. */
#include "server_cache.h"
#include "shm.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct s5_shm_location place; /* of the shared state made last */

static struct s5_shm *create_shm(int *fd)
{
    struct s5_shm *shm;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    *fd = place.fd;
    return shm;
}

Test(shm, is_found_again_by_its_value)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd), *again;
    struct s5_shm_location found;
    char value[S5_SHM_VALUE_MAX];
    cr_assert_geq(fd, 64, "out of the way of programs");
    cr_assert_eq(fcntl(fd, F_GETFD), 0, "inherited by exec");
    s5_shm_value(&place, value);
    cr_assert_eq(s5_shm_attach(value, &again, &found), 0);
    cr_assert(again != shm && found.fd == fd && found.inode == place.inode && !found.import);
    s5_server_cache_set_pipelining(shm->server_cache, "", 7, S5_PIPELINING_SUPPORTED);
    cr_assert_eq(s5_server_cache_pipelining(again->server_cache, 7), S5_PIPELINING_SUPPORTED, "one memory under both");
    place.import = true;
    place.lost = 5;
    s5_shm_value(&place, value);
    cr_assert_eq(s5_shm_attach(value, &again, &found), 0);
    cr_assert(found.import && found.lost == 5);
}

Test(shm, longest_value_fits)
{
    struct s5_shm_location longest = {1 << 20, UINT64_MAX, S5_FAKE_POOL_ALL_SLICES, true};
    char value[S5_SHM_VALUE_MAX];
    s5_shm_value(&longest, value);
    cr_assert_eq(memcmp(value, "1048576:18446744073709551615:65535:a", 37), 0, "%s", value);
}

Test(shm, invalid_values_are_refused)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd), *again = NULL;
    struct s5_shm_location found;
    struct stat st;
    char wrong[S5_SHM_VALUE_MAX + 16];
    (void)shm;
    const char *const bad[] = {"",
                               ":",
                               "x",
                               "5",
                               "5:",
                               ":5",
                               "5:5",
                               "5:5:",
                               "5:5:65536",
                               "99999999999999999999:1:0",
                               "5:18446744073709551616:0",
                               "-1:1:0",
                               "5:5:0:",
                               "5:5:0:ab"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_lt(s5_shm_attach(bad[i], &again, &found), 0, "\"%s\"", bad[i]);
    struct s5_shm_location other = place;
    other.inode++;
    other.lost = 3;
    s5_shm_value(&other, wrong);
    cr_assert_eq(s5_shm_attach(wrong, &again, &found), -ESTALE);
    cr_assert_eq(found.lost, 3u, "what was lost before is known all the same");
    int plain = memfd_create("other", MFD_ALLOW_SEALING); /* it has everything but the seals */
    cr_assert_eq(ftruncate(plain, sizeof(struct s5_shm)), 0);
    cr_assert_eq(fstat(plain, &st), 0);
    s5_shm_value(&(struct s5_shm_location){.fd = plain, .inode = st.st_ino}, wrong);
    cr_assert_eq(s5_shm_attach(wrong, &again, &found), -ESTALE);
    cr_assert_null(again, "it is left alone");
}

Test(shm, replacements_of_a_lost_one_give_other_numbers)
{
    int fd;
    uint32_t lost = 0;
    struct s5_fake_pool_range ranges[S5_FAKE_POOL_SLICES + 1], none;
    cr_assert(s5_fake_pool_range(0, S5_FAKE_POOL_SLOTS, &ranges[0]));
    for (unsigned i = 1; i <= S5_FAKE_POOL_SLICES; i++) {
        struct s5_shm *shm = create_shm(&fd);
        s5_shm_replace(shm, &place, lost);
        cr_assert_eq(place.lost & lost, lost);
        cr_assert_neq(place.lost, lost);
        lost = place.lost;
        cr_assert(s5_fake_pool_range(shm->slice, S5_FAKE_POOL_SLOTS, &ranges[i]));
        for (unsigned j = 0; j < i; j++)
            cr_assert(ranges[i].first >= ranges[j].first + ranges[j].n ||
                      ranges[j].first >= ranges[i].first + ranges[i].n);
        cr_assert_leq(ranges[i].first + ranges[i].n, S5_FAKE_POOL_SLOTS);
        cr_assert_not(s5_fake_pool_range(shm->slice, S5_FAKE_POOL_SLOTS / 2, &none), "there is no room for two");
        close(fd);
    }
    struct s5_shm *shm = create_shm(&fd);
    s5_shm_replace(shm, &place, lost);
    cr_assert_not(s5_fake_pool_range(shm->slice, S5_FAKE_POOL_SLOTS, &none), "all were lost: it gives none");
    cr_assert_eq(place.lost, lost);
}

Test(shm, of_another_release_is_refused)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd), *again;
    struct s5_shm_location found;
    char value[S5_SHM_VALUE_MAX];
    s5_shm_value(&place, value);
    shm->magic++;
    errno = 7;
    cr_assert_eq(s5_shm_attach(value, &again, &found), -ESTALE);
    cr_assert_eq(errno, 7);
}

Test(shm, cannot_be_shrunk_under_its_readers)
{
    int fd;
    create_shm(&fd);
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(errno, EPERM);
}

static const uint64_t one = 1, two = 2;

/* Returns a minimal policy. */
static struct s5_policy *make_policy(void)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    s5_policy_init(p);
    p->log_level = S5_LOG_INFO;
    cr_assert_eq(s5_policy_add_server(p, "server"), 0);
    strcpy(p->servers[0].password, "secret");
    return p;
}

Test(shm, policy_is_for_its_own_environment_and_the_first_is_kept)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_policy *p = make_policy();
    p->n_rules = 1;
    cr_assert_eq(s5_policy_add_server(p, "other"), 1);
    cr_assert(s5_policy_add_via(p, 0, 1) == 0 && s5_policy_add_via(p, 0, 0) == 1);
    cr_assert_null(s5_shm_policy(shm, fd, &one));
    s5_shm_publish(shm, fd, p, one, "/a/path");
    struct s5_policy_file *file = s5_shm_policy(shm, fd, &one);
    cr_assert_not_null(file);
    cr_assert_str_eq(file->server_cache_path, "/a/path");
    cr_assert_eq(file->policy.n_vias, 2);
    cr_assert_arr_eq(file->policy.vias, p->vias, 2);
    cr_assert_arr_eq(&file->policy.rules[0], &p->rules[0], sizeof p->rules[0]);
    cr_assert_null(s5_shm_policy(shm, fd, &two));
    p->log_level = S5_LOG_DEBUG;
    s5_shm_publish(shm, fd, p, two, "");
    cr_assert_null(s5_shm_policy(shm, fd, &two));
    cr_assert_eq(file->policy.log_level, S5_LOG_INFO);
    cr_assert_not_null(s5_shm_policy(shm, fd, NULL));
    free(p);
}

Test(shm, policy_of_another_tree_is_not_used)
{
    int fd, other_fd;
    struct s5_shm *shm = create_shm(&fd), *other = create_shm(&other_fd);
    struct s5_policy *p = make_policy();
    s5_shm_publish(other, other_fd, p, one, "");
    cr_assert_eq(dup2(other_fd + 1, fd + 1), fd + 1);
    cr_assert_null(s5_shm_policy(shm, fd, &one));
    cr_assert_null(s5_shm_policy(shm, -1, &one));
    free(p);
}

Test(shm, policy_is_not_written_to_a_file_of_the_program)
{
    int fd, other = memfd_create("program", MFD_ALLOW_SEALING);
    struct stat st;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_policy *p = make_policy();
    cr_assert_eq(dup2(other, fd + 1), fd + 1);
    s5_shm_publish(shm, fd, p, one, "");
    cr_assert(fstat(other, &st) == 0 && st.st_size == 0);
    cr_assert_eq(fcntl(other, F_GET_SEALS), 0);
    free(p);
}

Test(shm, policy_cannot_be_changed_after_it_is_written)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_policy *p = make_policy();
    s5_shm_publish(shm, fd, p, one, "");
    struct s5_policy_file *file = s5_shm_policy(shm, fd, &one), *again;
    cr_assert_eq(fcntl(fd + 1, F_GETFD), 0, "inherited by exec");
    cr_assert_eq(pwrite(fd + 1, "x", 1, offsetof(struct s5_policy_file, policy)), -1);
    cr_assert_eq(errno, EPERM);
    cr_assert_eq(ftruncate(fd + 1, 0), -1);
    cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd + 1, 0), MAP_FAILED);
    void *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd + 1, 0);
    cr_assert(shared == MAP_FAILED || mprotect(shared, 4096, PROT_READ | PROT_WRITE) < 0);
    strcpy(file->policy.servers[0].password, "changed");
    again = s5_shm_policy(shm, fd, &one);
    cr_assert_str_eq(again->policy.servers[0].password, "secret", "what a process makes of it is its own");
    struct s5_server meant;
    cr_assert(s5_policy_file_server(fd + 1, &file->policy.servers[0], &meant));
    cr_assert_str_eq(meant.password, "secret");
    cr_assert_not(s5_policy_file_server(fd, &file->policy.servers[0], &meant));
    free(p);
}

Test(shm, policy_with_indices_out_of_bounds_is_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {
        {offsetof(struct s5_policy, servers[0].n_addrs), S5_SERVER_ADDRS + 1},
        {offsetof(struct s5_policy, servers[0].n_methods), S5_SERVER_METHODS + 1},
        {offsetof(struct s5_policy, servers[0].isolate_server), 1},
        {offsetof(struct s5_policy, servers[0].index), 1},
        {offsetof(struct s5_policy, servers[0].username_len), 240}, /* no room for the word of isolation */
        {offsetof(struct s5_policy, vias[0]), 1},
        {offsetof(struct s5_policy, rules[0].via_count), 0},
        {offsetof(struct s5_policy, rules[0].via_count), 2},
        {offsetof(struct s5_policy, rules[0].pick), S5_PICK_STICKY + 1},
        {offsetof(struct s5_policy, rules[0].verdict), S5_VIA + 1},
        {offsetof(struct s5_policy, rules[0].to_first), 2},
        {offsetof(struct s5_policy, rules[0].ports_count), 1},
        {offsetof(struct s5_policy, matches[0].prefix), 33},
        {offsetof(struct s5_policy, fake_ipv4.prefix), 7},
    };
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        int fd;
        struct s5_shm *shm = create_shm(&fd);
        struct s5_policy *p = make_policy();
        p->n_rules = 1;
        s5_policy_add_via(p, 0, 0);
        p->servers[0].isolate = S5_ISOLATE_PROCESS;
        p->n_matches = 1;
        p->matches[0] = (struct s5_match){.kind = S5_MATCH_BLOCK, .family = S5_ADDR_IPV4, .prefix = 32};
        bool sound = i == sizeof bad / sizeof *bad;
        if (!sound)
            ((uint8_t *)p)[bad[i].at] = bad[i].value;
        s5_shm_publish(shm, fd, p, one, "");
        struct s5_policy_file *file = s5_shm_policy(shm, fd, &one);
        cr_assert_eq(file != NULL, sound, "%zu", i);
        free(p);
        close(fd);
        close(fd + 1);
    }
}

Test(shm, addresses_of_a_server_are_set_once)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_server server = {.n_addrs = 0}, found = {.n_addrs = 1, .addrs = {{S5_ADDR_IPV4, {1, 2, 3, 4}}}};
    cr_assert_not(s5_shm_resolved(shm, 3, &server));
    s5_shm_set_resolved(shm, 3, &found);
    cr_assert(s5_shm_resolved(shm, 3, &server));
    cr_assert(server.n_addrs == 1 && server.addrs[0].octets[3] == 4);
    found.addrs[0].octets[3] = 5;
    s5_shm_set_resolved(shm, 3, &found);
    cr_assert(s5_shm_resolved(shm, 3, &server) && server.addrs[0].octets[3] == 4);
    shm->resolved[3].n = S5_SERVER_ADDRS + 1;
    cr_assert_not(s5_shm_resolved(shm, 3, &server), "damaged");
    s5_shm_set_resolved(shm, S5_POLICY_SERVERS, &found);
    cr_assert_not(s5_shm_resolved(shm, S5_POLICY_SERVERS, &server));
}

Test(shm, descriptors_have_adjacent_numbers)
{
    int fd, taken[20];
    create_shm(&fd);
    for (int i = 0; i < 20; i++) { /* every other number */
        taken[i] = fcntl(0, F_DUPFD, 301 + 2 * i);
        cr_assert_eq(taken[i], 301 + 2 * i);
    }
    cr_assert_eq(s5_shm_duplicate(fd, fd + 1, 300), 340);
    struct stat was, is;
    cr_assert(fstat(fd + 1, &was) == 0 && fstat(341, &is) == 0 && was.st_ino == is.st_ino);
    cr_assert_eq(fcntl(300, F_GETFD), -1, "attempts leave nothing behind");
    cr_assert(s5_shm_has(340, 341) && s5_shm_has(340, 340) && !s5_shm_has(340, 342) && !s5_shm_has(-1, 0));
}

/* Returns the address from which an export of COOKIE is recognized. */
static struct s5_endpoint make_peer(uint64_t cookie)
{
    struct s5_endpoint peer = {.len = sizeof peer.v4};
    peer.v4.sin_port = (uint16_t)cookie;
    peer.v4.sin_addr.s_addr = (uint32_t)(cookie >> 16);
    return peer;
}

static void export_many(struct s5_shm *shm, uint64_t from, uint64_t n)
{
    for (uint64_t cookie = from; cookie < from + n; cookie++) {
        struct s5_endpoint peer = make_peer(cookie);
        s5_shm_export(shm, cookie, &peer, NULL);
    }
}

static void check_exported(const struct s5_shm *shm, uint64_t from, uint64_t n)
{
    struct s5_endpoint peer, local;
    for (uint64_t cookie = from; cookie < from + n; cookie++) {
        cr_assert(s5_shm_exported(shm, cookie, &peer, &local), "%llu", (unsigned long long)cookie);
        cr_assert(peer.len == sizeof peer.v4 && peer.v4.sin_port == (uint16_t)cookie && local.len == 0);
    }
}

Test(shm, exports_of_many_connections_are_found)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_endpoint a, b;
    for (int again = 0; again < 3; again++) {
        export_many(shm, 1, 5000);
        check_exported(shm, 1, 5000);
    }
    cr_assert_not(s5_shm_exported(shm, 5001, &a, &b));
    cr_assert_not(s5_shm_exported(shm, 0, &a, &b));
    cr_assert_not(s5_shm_exported(shm, UINT64_MAX, &a, &b));
}

Test(shm, old_exports_are_replaced)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    for (uint64_t from = 1; from < 400000; from += 5000) {
        export_many(shm, from, 5000);
        check_exported(shm, from, 5000);
    }
}

Test(shm, exports_are_updated)
{
    int fd;
    struct s5_shm *shm = create_shm(&fd);
    struct s5_endpoint peer = make_peer(1), other = make_peer(2), a, b;
    s5_shm_export(shm, 1, &peer, NULL);
    s5_shm_export(shm, 1, &other, &peer);
    cr_assert(s5_shm_exported(shm, 1, &a, &b));
    cr_assert(a.v4.sin_port == 2 && b.len == peer.len && b.v4.sin_port == 1);
}
