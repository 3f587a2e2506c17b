/* The choice of the servers of a chain, with a policy and a table of its own, without a network. */
#include "chain.h"
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
static struct s5_server *chain;
static struct s5_negotiation *f;
static struct s5_addr to = {.kind = S5_ADDR_IPV4, .octets = {192, 0, 2, 1}, .port = 80};

/* Four servers "a" to "d" at 10.0.0.1 to 10.0.0.4, and a chain of them. */
static void set_up(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct s5_policy_file *file = calloc(1, sizeof *file);
    e = calloc(1, sizeof *e);
    f = calloc(1, sizeof *f);
    struct s5_shm *shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(e && f && file && shm != MAP_FAILED);
    atomic_store(&e->shm, shm);
    e->policy_file = file;
    e->policy = p = &file->policy;
    s5_policy_init(p);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(s5_policy_add_server(p, names[i]), (int)i);
        struct s5_server *server = &p->servers[i];
        server->host = server->name;
        server->n_methods = 1;
        server->n_addrs = 1;
        server->addrs[0] = (struct s5_ip){S5_ADDR_IPV4, {10, 0, 0, (uint8_t)(i + 1)}};
        e->server_keys[i] = s5_server_cache_key(p, server);
    }
    cr_assert_eq(s5_policy_add_server(p, "chain"), 4);
    chain = &p->servers[4];
    chain->timeout = 10;
    chain->chain_length = 4;
    for (unsigned i = 0; i < 4; i++)
        s5_policy_add_hop(p, 4, i);
    f->server_index = 4;
    f->server.any.sa_family = AF_INET;
}

static void tear_down(void)
{
    free(e->policy_file);
    free(e);
    free(f);
}

TestSuite(chain, .init = set_up, .fini = tear_down);

/* The hops that were chosen, or "none". */
static const char *get_hops(int result)
{
    static char text[S5_CHAIN_HOPS + 1];
    if (result < 0)
        return "none";
    for (unsigned i = 0; i < f->chain.n; i++)
        text[i] = (char)('a' + s5_negotiation_hop(f, i));
    text[f->chain.n] = '\0';
    cr_assert_eq(ntohl(f->server.v4.sin_addr.s_addr) & 0xff, s5_negotiation_hop(f, 0) + 1, "the address of the first");
    return text;
}

static const char *begin(enum s5_chain_mode mode, unsigned length)
{
    chain->chain_mode = (uint8_t)mode;
    chain->chain_length = (uint8_t)length;
    return get_hops(s5_chain_begin(e, f, chain, &to));
}

static const char *go_on_without(unsigned at)
{
    s5_chain_failed(e, f, at);
    return s5_chain_has_other_hops(e, f) ? get_hops(s5_chain_choose(e, f)) : "none";
}

Test(chain, strict_takes_all_and_nothing_else)
{
    cr_assert_str_eq(begin(S5_CHAIN_STRICT, 4), "abcd");
    cr_assert_str_eq(go_on_without(1), "none");
    cr_assert_str_eq(begin(S5_CHAIN_STRICT, 4), "abcd", "nothing is remembered");
}

Test(chain, dynamic_leaves_out_what_failed_and_remembers_it)
{
    cr_assert_str_eq(begin(S5_CHAIN_DYNAMIC, 4), "abcd");
    cr_assert_str_eq(go_on_without(1), "acd");
    cr_assert_str_eq(go_on_without(0), "cd");
    cr_assert_str_eq(begin(S5_CHAIN_DYNAMIC, 4), "bcd", "b was down behind a, not as the first one");
    cr_assert_str_eq(go_on_without(0), "cd");
    cr_assert_str_eq(go_on_without(0), "d");
    cr_assert_str_eq(go_on_without(0), "a", "what is known to be down is the last resort");
    cr_assert_str_eq(go_on_without(0), "none");
    cr_assert_str_eq(begin(S5_CHAIN_DYNAMIC, 4), "abcd", "all are down as the first one, so that all are tried");
}

Test(chain, round_robin_goes_on_behind_the_last_connection)
{
    cr_assert_str_eq(begin(S5_CHAIN_ROUND_ROBIN, 3), "abc");
    cr_assert_str_eq(begin(S5_CHAIN_ROUND_ROBIN, 3), "dab");
    cr_assert_str_eq(begin(S5_CHAIN_ROUND_ROBIN, 3), "cda");
}

Test(chain, random_takes_any)
{
    unsigned first[4] = {0};
    for (int i = 0; i < 200; i++) {
        const char *hops = begin(S5_CHAIN_RANDOM, 2);
        cr_assert(strlen(hops) == 2 && hops[0] != hops[1], "%s", hops);
        first[*hops - 'a']++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert(first[i] > 10, "%c: %u times the first", 'a' + i, first[i]);
}

Test(chain, what_cannot_be_resolved_here_is_not_the_first)
{
    p->servers[0].n_addrs = p->servers[1].n_addrs = p->servers[2].n_addrs = 0;
    for (int i = 0; i < 20; i++) {
        const char *hops = begin(S5_CHAIN_RANDOM, 3);
        cr_assert(strlen(hops) == 3 && *hops == 'd', "%s", hops);
    }
    cr_assert_str_eq(begin(S5_CHAIN_DYNAMIC, 4), "d");
    cr_assert_str_eq(begin(S5_CHAIN_STRICT, 4), "none");
}

Test(chain, what_each_hop_is_requested)
{
    struct s5_addr dst;
    begin(S5_CHAIN_STRICT, 4);
    s5_chain_destination(e, f, 0, &dst);
    cr_assert(dst.kind == S5_ADDR_NAME && strcmp(dst.name, "b") == 0 && dst.port == 1080);
    s5_chain_destination(e, f, 3, &dst);
    cr_assert(s5_addr_equal(&dst, &to));
}

Test(chain, what_may_follow_at_once)
{
    struct s5_server_cache_entry *table = atomic_load(&e->shm)->server_cache;
    begin(S5_CHAIN_STRICT, 4);
    cr_assert_not(s5_chain_goes_ahead(e, f, 0), "a is not known");
    s5_server_cache_set_pipelining(table, "", e->server_keys[0], S5_PIPELINING_SUPPORTED);
    cr_assert_not(s5_chain_goes_ahead(e, f, 0), "b would be a probe");
    s5_server_cache_set_pipelining(table, "", e->server_keys[1], S5_PIPELINING_UNSUPPORTED);
    cr_assert(s5_chain_goes_ahead(e, f, 0), "the greeting of b");
    cr_assert_not(s5_chain_goes_ahead(e, f, 1));
    p->servers[0].pipeline = S5_PIPELINE_OFF;
    cr_assert_not(s5_chain_goes_ahead(e, f, 0));
}

Test(chain, a_policy_that_this_process_does_not_have)
{
    begin(S5_CHAIN_DYNAMIC, 4);
    f->chain.generation = 7;
    cr_assert_not(s5_chain_has_other_hops(e, f));
    cr_assert_eq(s5_chain_choose(e, f), -EHOSTUNREACH);
    struct s5_hop hop;
    s5_chain_hop(e, f, 0, &hop);
    cr_assert_eq(hop.server->n_methods, 0, "no credentials of another server");
}
