/* What a reload makes of two policies: which servers are the same, and which indices they have. */
#include "isolation.h"
#include "merge.h"
#include "policy_check.h"
#include "server.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct s5_merge merge;

/* A policy with a rule through all SERVERS, which are words "host" or "host/user". */
static struct s5_policy *make(const char *servers)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    char copy[1024], *at;
    cr_assert(p && strlen(servers) < sizeof copy);
    strcpy(copy, servers);
    s5_policy_init(p);
    p->rules[0].name = (uint32_t)s5_policy_add_text(p, "all", 3);
    p->n_rules = 1;
    for (char *word = strtok_r(copy, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        char *user = strchr(word, '/');
        int i = s5_policy_add_server(p, word);
        cr_assert_geq(i, 0);
        struct s5_server *s = &p->servers[i];
        s->isolate_server = (uint8_t)i;
        s->n_methods = 1;
        if (user) {
            *user++ = '\0';
            s->username_len = (uint8_t)strlen(user);
            memcpy(s->username, user, s->username_len);
        }
        s->host = (uint32_t)s5_policy_add_text(p, word, strlen(word));
        cr_assert_geq(s5_policy_add_via(p, 0, (unsigned)i), 0);
    }
    return p;
}

static struct s5_policy *merged(struct s5_policy *current, struct s5_policy *next)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_eq(s5_merge(p, next, current, &merge), 0);
    cr_assert(s5_policy_is_sound(p));
    free(current);
    free(next);
    return p;
}

static const char *get_host(const struct s5_policy *p, unsigned index)
{
    return index < p->n_servers ? s5_policy_text(p, p->servers[index].host) : "none";
}

/* The indices of the servers of the rule, as digits or letters. */
static const char *get_list(const struct s5_policy *p)
{
    static char list[S5_POLICY_SERVERS + 1];
    const struct s5_rule *rule = &p->rules[0];
    for (unsigned i = 0; i < rule->via_count; i++)
        list[i] = "0123456789abcdefghijklmnopqrstuv"[p->vias[rule->via_first + i]];
    list[rule->via_count] = '\0';
    return list;
}

Test(merge, same_server_keeps_its_index_and_a_new_one_gets_another)
{
    struct s5_policy *p = merged(make("a b c"), make("new c a"));
    cr_assert_str_eq(get_list(p), "320");
    cr_assert_eq(p->n_servers, 4);
    cr_assert_str_eq(get_host(p, 0), "a");
    cr_assert_str_eq(get_host(p, 1), "b", "it is kept for what is in flight");
    cr_assert(p->servers[1].retired && !p->servers[0].retired && !p->servers[3].retired);
    cr_assert_eq(merge.reused, 1u << 3);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(s5_server_policy(&p->servers[i]) == p);
    free(p);
}

Test(merge, settings_of_a_server_are_new)
{
    struct s5_policy *current = make("a/user"), *next = make("b a/user");
    strcpy(current->servers[0].password, "old");
    current->servers[0].password_len = 3;
    strcpy(next->servers[1].password, "newer");
    next->servers[1].password_len = 5;
    next->servers[1].timeout = 7;
    struct s5_policy *p = merged(current, next);
    cr_assert_str_eq(get_list(p), "10");
    cr_assert(p->servers[0].password_len == 5 && strcmp(p->servers[0].password, "newer") == 0);
    cr_assert_eq(p->servers[0].timeout, 7);
    free(p);
}

Test(merge, what_makes_a_server_another_one)
{
    for (int i = 0; i < 6; i++) {
        struct s5_policy *current = make("a/user"), *next = make("a/user");
        struct s5_server *s = &next->servers[0];
        switch (i) {
        case 0:
            s->port = 1081;
            break;
        case 1:
            s->username[0] = 'x';
            break;
        case 2:
            s->methods[0] = 1;
            break;
        case 3:
            s->is_path = true;
            break;
        case 4:
            s->isolate = S5_ISOLATE_PROCESS;
            break;
        default:
            s->name = 0; /* the title does not count */
        }
        struct s5_policy *p = merged(current, next);
        cr_expect_str_eq(get_list(p), i < 5 ? "1" : "0", "%d", i);
        free(p);
    }
}

Test(merge, title_decides_between_servers_that_are_the_same)
{
    struct s5_policy *current = make("a a"), *next = make("a a");
    current->servers[0].name = (uint32_t)s5_policy_add_text(current, "one", 3);
    current->servers[1].name = (uint32_t)s5_policy_add_text(current, "two", 3);
    next->servers[0].name = (uint32_t)s5_policy_add_text(next, "two", 3);
    next->servers[1].name = (uint32_t)s5_policy_add_text(next, "one", 3);
    struct s5_policy *p = merged(current, next);
    cr_assert_str_eq(get_list(p), "10");
    cr_assert_eq(p->n_servers, 2);
    free(p);
}

Test(merge, removed_server_that_comes_back_has_its_index)
{
    struct s5_policy *p = merged(make("a b"), make("b"));
    cr_assert_str_eq(get_list(p), "1");
    p = merged(p, make("c"));
    p = merged(p, make("a"));
    cr_assert_str_eq(get_list(p), "0");
    cr_assert(!p->servers[0].retired && p->servers[1].retired && p->servers[2].retired);
    cr_assert_eq(merge.reused, 0);
    free(p);
}

Test(merge, full_table_reuses_indices_of_older_generations_only)
{
    char words[256] = "";
    for (int i = 0; i < S5_POLICY_SERVERS; i++)
        sprintf(words + strlen(words), "h%d ", i);
    struct s5_policy *current = make(words), *next = make("new"), *p = calloc(1, sizeof *p);
    cr_assert_eq(s5_merge(p, next, current, &merge), -ENOSPC, "programs use all of them");
    free(p);
    p = merged(current, make("h5"));
    cr_assert_eq(p->n_servers, S5_POLICY_SERVERS);
    free(next);
    p = merged(p, make("new h6"));
    cr_assert_str_eq(get_list(p), "06", "the index of one that the last generation did not name");
    cr_assert_eq(merge.reused, 1u);
    cr_assert_str_eq(get_host(p, 5), "h5", "the last generation named it");
    p = merged(p, make("new"));
    cr_assert_str_eq(get_list(p), "0");
    free(p);
}

Test(merge, texts_of_a_removed_server_are_kept)
{
    struct s5_policy *p = make("a b");
    for (int i = 0; i < 200; i++) { /* the pool does not grow */
        p = merged(p, make(i % 2 ? "a b" : "b"));
        cr_assert_str_eq(get_host(p, 0), "a");
        cr_assert_str_eq(s5_server_name(&p->servers[1]), "b");
        cr_assert_lt(p->n_text, 200);
    }
    free(p);
}

Test(merge, too_much_text)
{
    static char title[S5_POLICY_TEXT - 200];
    struct s5_policy *current = make("a"), *next = make("b"), *p = calloc(1, sizeof *p);
    memset(title, 'x', sizeof title - 1);
    next->servers[0].name = (uint32_t)s5_policy_add_text(next, title, sizeof title - 1);
    cr_assert_eq(s5_merge(p, next, current, &merge), 0);
    current->servers[0].name = (uint32_t)s5_policy_add_text(current, title, sizeof title - 1);
    cr_assert_eq(s5_merge(p, next, current, &merge), -ENOSPC);
    free(current);
    free(next);
    free(p);
}

Test(merge, addresses_of_a_name_are_kept_until_it_is_resolved_again)
{
    struct s5_policy *current = make("a b"), *next = make("a b");
    for (int i = 0; i < 2; i++) {
        current->servers[i].n_addrs = 1;
        current->servers[i].addrs[0] = (struct s5_ip){S5_ADDR_IPV4, {192, 0, 2, 1}};
    }
    next->servers[1].n_addrs = 1;
    next->servers[1].addrs[0] = (struct s5_ip){S5_ADDR_IPV4, {192, 0, 2, 2}};
    struct s5_policy *p = merged(current, next);
    cr_assert(p->servers[0].n_addrs == 1 && p->servers[0].addrs[0].octets[3] == 1);
    cr_assert(p->servers[1].n_addrs == 1 && p->servers[1].addrs[0].octets[3] == 2);
    free(p);
}

static void isolate_by_rule(struct s5_policy *p, unsigned index, unsigned number, const char *title)
{
    struct s5_server *s = &p->servers[index];
    s->isolate = S5_ISOLATE_RULE;
    s->isolate_server = 0;
    s->isolate_rule = (uint16_t)number;
    s->isolate_title = (uint32_t)s5_policy_add_text(p, title, strlen(title));
}

Test(merge, words_of_isolation_stay_and_differ)
{
    struct s5_policy *current = make("a a a"), *next = make("a a a a");
    isolate_by_rule(current, 1, 1, "mail");
    isolate_by_rule(current, 2, 2, "web");
    isolate_by_rule(next, 1, 1, "new");
    isolate_by_rule(next, 2, 2, "mail");
    isolate_by_rule(next, 3, 3, "web");
    struct s5_policy *p = merged(current, next);
    cr_assert_str_eq(get_list(p), "0312");
    cr_assert_eq(p->servers[1].isolate_rule, 1);
    cr_assert_eq(p->servers[2].isolate_rule, 2);
    cr_assert_gt(p->servers[3].isolate_rule, 2, "no other rule has it");
    cr_assert_eq(p->servers[3].isolate_server, 0);
    free(p);
}

Test(merge, command_line_and_fake_addresses_stay)
{
    struct s5_policy *current = make("a"), *next = make("a");
    current->log_file = (uint32_t)s5_policy_add_text(current, "/log", 4);
    current->strict = current->log_counts = true;
    current->given = S5_GIVEN_LOG | S5_GIVEN_JSON | S5_GIVEN_ENGINE;
    current->given_level = current->log_level = S5_LOG_DEBUG;
    current->engine = S5_ENGINE_NAMESPACE;
    next->log_file = (uint32_t)s5_policy_add_text(next, "/other", 6);
    next->n_programs = 1;
    cr_assert_eq(s5_policy_set_fake_range(next, S5_ADDR_IPV4, "10.0.0.0/8"), 0);
    struct s5_policy *p = merged(current, next);
    cr_assert_str_eq(s5_policy_text(p, p->log_file), "/log");
    cr_assert(p->strict && p->log_counts && p->log_json && p->engine == S5_ENGINE_NAMESPACE && p->n_programs == 0);
    cr_assert_eq(p->log_level, S5_LOG_DEBUG);
    cr_assert(merge.keeps_fake_range && p->fake_ipv4.octets[0] == 198);
    p = merged(p, make("a"));
    cr_assert(!merge.keeps_fake_range && p->log_level == S5_LOG_DEBUG && p->log_json);
    free(p);
    current = make("a");
    current->log_level = S5_LOG_DEBUG; /* by the file */
    p = merged(current, make("a"));
    cr_assert_eq(p->log_level, S5_LOG_ERROR);
    free(p);
}

/* Makes a chain of the servers of P from FIRST to LAST, which the rule uses as well. Returns its index. */
static unsigned add_chain(struct s5_policy *p, const char *title, unsigned first, unsigned last)
{
    int at = s5_policy_add_server(p, title);
    cr_assert_geq(at, 0);
    p->servers[at].chain_length = 1;
    p->servers[at].isolate_server = (uint8_t)at;
    for (unsigned i = first; i <= last; i++)
        cr_assert_geq(s5_policy_add_hop(p, (unsigned)at, i), 0);
    return (unsigned)at;
}

Test(merge, a_chain_is_the_same_if_its_servers_are)
{
    struct s5_policy *current = make("a b c"), *next = make("c b a"), *other = make("c b a");
    unsigned chain = add_chain(current, "deep", 0, 1);
    add_chain(next, "deep", 1, 2); /* b, a: another order */
    struct s5_policy *p = merged(current, next);
    cr_assert_eq(p->n_servers, 5);
    const struct s5_server *before = &p->servers[chain], *now = &p->servers[chain + 1];
    cr_assert(before->retired && before->n_hops == 2 && !now->retired && now->n_hops == 2);
    cr_expect_arr_eq(p->vias + before->hops_first, ((uint8_t[]){0, 1}), 2, "the list of what is in use is kept");
    cr_expect_arr_eq(p->vias + now->hops_first, ((uint8_t[]){1, 0}), 2);
    add_chain(other, "other title", 1, 2);
    p = merged(p, other);
    cr_assert(p->n_servers == 5 && !p->servers[chain + 1].retired, "the same as the last one");
    free(p);
}

Test(merge, a_retired_chain_ends_with_one_of_its_servers)
{
    struct s5_policy *current = make("a b");
    unsigned chain = add_chain(current, "deep", 0, 1);
    struct s5_policy *p = merged(current, make("x"));
    char many[256] = "";
    for (int i = 0; i < S5_POLICY_SERVERS - 2; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "n%d ", i);
    p = merged(p, make(many)); /* takes the indices of a and b */
    cr_assert(p->servers[chain].n_hops == 0 && p->servers[chain].n_addrs == 0, "no connection may leave it out");
    free(p);
}
