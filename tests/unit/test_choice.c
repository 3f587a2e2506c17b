/* The choice among several servers, with a policy and a table of its own, without a network. */
#include "choice.h"
#include "clock.h"
#include "server_cache.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct s5_engine *e;
static struct s5_policy *p;
static struct s5_choice choice;
static struct s5_addr to = {.kind = S5_ADDR_IPV4, .octets = {192, 0, 2, 1}, .port = 80};

/* Four servers, of which the third has an IPv6 address only, and one rule. */
static void set_up(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct s5_policy_file *file = calloc(1, sizeof *file);
    e = calloc(1, sizeof *e);
    struct s5_shm *shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(e && file && shm != MAP_FAILED);
    atomic_store(&e->shm, shm);
    e->policy_file = file;
    e->policy = p = &file->policy;
    s5_policy_init(p);
    p->n_rules = 1;
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(s5_policy_add_server(p, names[i]), (int)i);
        cr_assert_eq(s5_policy_add_via(p, 0, i), (int)i);
        struct s5_server *server = &p->servers[i];
        server->host = server->name;
        server->timeout = 10;
        server->n_addrs = 1;
        server->addrs[0].kind = i == 2 ? S5_ADDR_IPV6 : S5_ADDR_IPV4;
        e->server_keys[i] = s5_server_cache_key(p, server);
    }
}

static void tear_down(void)
{
    free(e->policy_file);
    free(e);
}

TestSuite(choice, .init = set_up, .fini = tear_down);

/* The names of the servers that a flow tries, one after another. */
static const char *get_order(int family)
{
    static char order[8];
    const struct s5_server *server;
    size_t n = 0;
    s5_choice_begin(e, &choice, p, 0, &to);
    while ((server = s5_choice_next(e, &choice, family)) && n < sizeof order - 1)
        order[n++] = *s5_policy_text(p, server->name);
    order[n] = 0;
    return order;
}

static void set_down(unsigned index, bool down)
{
    struct s5_server_cache_entry *table = atomic_load(&e->shm)->server_cache;
    if (down)
        s5_server_cache_set_down(table, "", e->server_keys[index], (uint64_t)s5_clock_wall_ms(), false);
    else
        s5_server_cache_set_up(table, "", e->server_keys[index]);
}

Test(choice, in_the_order_of_the_list)
{
    cr_assert_str_eq(get_order(AF_INET6), "abcd");
    cr_assert_str_eq(get_order(AF_INET), "abd", "an IPv4 socket cannot reach IPv6");
    set_down(0, true);
    cr_assert_str_eq(get_order(AF_INET), "bda", "what is down is the last resort");
    set_down(1, true);
    set_down(3, true);
    cr_assert_str_eq(get_order(AF_INET), "abd");
    set_down(0, false);
    cr_assert_str_eq(get_order(AF_INET6), "acbd");
}

Test(choice, round_robin_among_those_that_work)
{
    char first[10] = "";
    p->rules[0].pick = S5_PICK_ROUND_ROBIN;
    for (int i = 0; i < 8; i++)
        first[i] = *get_order(AF_INET6);
    cr_assert_str_eq(first, "abcdabcd");
    set_down(1, true);
    for (int i = 0; i < 6; i++)
        first[i] = *get_order(AF_INET6);
    first[6] = 0;
    for (const char *c = "acd"; *c; c++)
        cr_assert(strchr(first, *c) != strrchr(first, *c), "%c twice in %s", *c, first);
    cr_assert_null(strchr(first, 'b'));
}

Test(choice, at_random_and_always_all_of_them)
{
    unsigned count[4] = {0};
    p->rules[0].pick = S5_PICK_RANDOM;
    for (int i = 0; i < 400; i++) {
        const char *order = get_order(AF_INET6);
        cr_assert_eq(strlen(order), 4);
        count[*order - 'a']++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert(count[i] > 40 && count[i] < 200, "server %d is first %u times of 400", i, count[i]);
}

Test(choice, by_the_host)
{
    char order[8];
    unsigned differ = 0, moved = 0;
    p->rules[0].pick = S5_PICK_STICKY;
    for (unsigned host = 0; host < 64; host++) {
        to.octets[3] = (uint8_t)host;
        to.port = 80;
        strcpy(order, get_order(AF_INET6));
        to.port = 443;
        cr_assert_str_eq(get_order(AF_INET6), order, "the port does not count");
        differ += *order != 'a';
        set_down(0, true);
        moved += *order != 'a' && *get_order(AF_INET6) != *order;
        set_down(0, false);
    }
    cr_assert(differ > 24 && differ < 64, "%u of 64", differ);
    cr_assert_eq(moved, 0, "only the hosts of a server that is down move");
    struct s5_addr name = {.kind = S5_ADDR_NAME, .name_len = 9, .name = "A.Example"}, lower = name;
    memcpy(lower.name, "a.example", 9);
    to = name;
    strcpy(order, get_order(AF_INET6));
    to = lower;
    cr_assert_str_eq(get_order(AF_INET6), order, "nor does the case of letters");
}

Test(choice, each_has_its_share_of_the_time)
{
    p->rules[0].timeout = 12;
    s5_choice_begin(e, &choice, p, 0, &to);
    uint64_t now = s5_clock_now(), second = S5_CLOCK_SECOND;
    for (unsigned left = 4; left; left--) {
        cr_assert(s5_choice_next(e, &choice, AF_INET6));
        uint64_t share = s5_choice_deadline(e, &choice) - now, whole = 12 * second / left;
        whole = whole < 10 * second ? whole : 10 * second; /* the server's own */
        cr_assert(share <= whole + second && share + second >= whole, "%u left: %llu ms", left,
                  (unsigned long long)(share / 1000000));
    }
    cr_assert_null(s5_choice_next(e, &choice, AF_INET6));
    s5_choice_repeat(&choice, second);
    cr_assert(s5_choice_next(e, &choice, AF_INET6) && s5_choice_deadline(e, &choice) - now < 2 * second);
}

Test(choice, notes_what_it_learns)
{
    s5_choice_begin(e, &choice, p, 0, &to);
    s5_choice_next(e, &choice, AF_INET6);
    s5_choice_note(e, &choice, -EOPNOTSUPP, false);
    cr_assert_eq(*get_order(AF_INET6), 'a');
    s5_choice_begin(e, &choice, p, 0, &to);
    s5_choice_next(e, &choice, AF_INET6);
    s5_choice_note(e, &choice, -ECONNREFUSED, true);
    cr_assert_eq(*get_order(AF_INET6), 'b');
    s5_choice_begin(e, &choice, p, 0, &to);
    while (s5_choice_next(e, &choice, AF_INET6) && choice.at != 0)
        ;
    s5_choice_note(e, &choice, 0, false);
    cr_assert_eq(*get_order(AF_INET6), 'a');
    cr_assert_not(s5_choice_closed(e, &choice));
    cr_assert_not(s5_choice_closed(e, &choice));
    cr_assert(s5_choice_closed(e, &choice));
}

Test(choice, goes_on_with_the_policy_that_it_began_with)
{
    struct s5_policy_file *before = (struct s5_policy_file *)(uintptr_t)s5_policy_file_of(p);
    struct s5_policy_file *after = calloc(1, sizeof *after);
    s5_choice_begin(e, &choice, p, 0, &to);
    cr_assert_eq(s5_choice_next(e, &choice, AF_INET), &p->servers[0]);
    s5_policy_init(&after->policy);
    after->generation = 1;
    after->older = before;
    e->policy_file = after;
    e->policy = &after->policy;
    cr_assert_eq(s5_choice_next(e, &choice, AF_INET), &before->policy.servers[1]);
    choice.generation = 7; /* of another process */
    cr_assert_null(s5_choice_next(e, &choice, AF_INET));
    cr_assert_eq(s5_choice_rule(e, &choice)->next_on, 0);
    s5_choice_failed(e, &choice);
    s5_choice_succeeded(e, &choice);
    cr_assert_not(s5_choice_closed(e, &choice));
    e->policy_file = before;
    e->policy = p;
    free(after);
}
