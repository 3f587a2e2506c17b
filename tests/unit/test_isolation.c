/* Which connections share a user name and which do not, and how the configuration and the environment select this. */
#include "isolation.h"
#include "policy_script.h"
#include <errno.h>

TestSuite(isolation, .fini = sweep);

static const uint64_t key[2] = {1, 2}, other_key[2] = {1, 3};
static struct s5_fault fault;

static struct s5_policy *load(const char *text, const char *isolate, int want)
{
    struct s5_policy *p = fresh();
    struct s5_source s = {.file = put("i.conf", text, 0600), .env = {.isolate = isolate}};
    fault.text[0] = '\0';
    cr_assert_eq(s5_source_load(p, &s, &fault), want, "%s", fault.text);
    return p;
}

static uint64_t derive_name(uint8_t isolate, uint16_t rule, const uint64_t secret[2], uint64_t process,
                            const char *to, uint16_t port)
{
    struct s5_server s = {.isolate = isolate, .isolate_rule = rule};
    struct s5_addr a = addr_of(to, port);
    struct s5_identity id;
    s5_isolation_derive(&id, secret, &s, process, &a);
    cr_assert_neq(id.words[0], id.words[1]);
    return id.words[0];
}

Test(isolation, the_selected_properties_make_the_difference)
{
    const uint8_t P = S5_ISOLATE_PROCESS, D = S5_ISOLATE_DESTINATION, R = S5_ISOLATE_RULE;
    cr_expect_eq(derive_name(P, 0, key, 7, "a.example", 80), derive_name(P, 0, key, 7, "b.example", 80));
    cr_expect_neq(derive_name(P, 0, key, 7, "a.example", 80), derive_name(P, 0, key, 8, "a.example", 80));
    cr_expect_neq(derive_name(P, 0, key, 7, "a.example", 80), derive_name(P, 0, other_key, 7, "a.example", 80));
    cr_expect_eq(derive_name(D, 0, key, 7, "a.example", 80), derive_name(D, 0, key, 8, "a.example", 80));
    cr_expect_neq(derive_name(D, 0, key, 7, "a.example", 80), derive_name(D, 0, key, 7, "b.example", 80));
    cr_expect_neq(derive_name(D, 0, key, 7, "192.0.2.1", 80), derive_name(D, 0, key, 7, "192.0.2.2", 80));
    cr_expect_neq(derive_name(D, 0, key, 7, "2001:db8::1", 80), derive_name(D, 0, key, 7, "2001:db8::2", 80));
    cr_expect_neq(derive_name(R, 1, key, 7, "a.example", 80), derive_name(R, 2, key, 7, "a.example", 80));
    cr_expect_eq(derive_name(R, 1, key, 7, "a.example", 80), derive_name(R, 1, key, 8, "b.example", 80));
    cr_expect_neq(derive_name(P | D, 0, key, 7, "a.example", 80), derive_name(P | D, 0, key, 8, "a.example", 80));
}

Test(isolation, a_destination_is_a_host)
{
    const uint8_t D = S5_ISOLATE_DESTINATION;
    uint64_t one = derive_name(D, 0, key, 0, "www.example", 80);
    cr_expect_eq(derive_name(D, 0, key, 0, "www.example", 443), one);
    cr_expect_eq(derive_name(D, 0, key, 0, "WWW.Example.", 80), one);
    cr_expect_neq(derive_name(D, 0, key, 0, "ww.example", 80), one);
}

Test(isolation, words)
{
    struct s5_server s = {.username_len = 0};
    struct s5_identity id = {{0xfedcba9876543210, 1}}, back;
    struct s5_isolation_words w;
    s5_isolation_words(&w, &s, &id);
    cr_assert(w.username_len == 16 && w.password_len == 16);
    cr_assert_eq(memcmp(w.username, "0123456789abcdef", 16), 0);
    cr_assert_eq(memcmp(w.password, "1000000000000000", 16), 0);
    s.username_len = 6;
    memcpy(s.username, "alice-", 6);
    s.password_len = 2;
    memcpy(s.password, "pw", 2);
    s5_isolation_words(&w, &s, &id);
    cr_assert(w.username_len == 22 && memcmp(w.username, "alice-0123456789abcdef", 22) == 0);
    cr_assert(w.password_len == 2 && memcmp(w.password, "pw", 2) == 0);
    s5_isolation_words_for_bridge(&w, &s, &id);
    cr_assert(w.username_len == 6 + S5_ISOLATION_BRIDGE && w.password_len == 2);
    cr_assert(s5_isolation_parse(&back, (uint8_t *)w.username, w.username_len));
    cr_assert(back.words[0] == id.words[0] && back.words[1] == id.words[1]);
    cr_assert_not(s5_isolation_parse(&back, (uint8_t *)w.username, S5_ISOLATION_BRIDGE - 1));
    w.username[w.username_len - 1] = 'G';
    cr_assert_not(s5_isolation_parse(&back, (uint8_t *)w.username, w.username_len));
    w.username[w.username_len - 1] = '0';
    w.username[6] = ',';
    cr_assert_not(s5_isolation_parse(&back, (uint8_t *)w.username, w.username_len));
}

#define SERVER "server p { address = 192.0.2.1 "

Test(isolation, of_a_server)
{
    struct s5_policy *p = load(SERVER "isolate = {process, destination} }\n"
                                      "rule a { to = a.example via = p }\nrule b { via = p }\n",
                               NULL, 0);
    cr_assert_eq(p->n_servers, 1);
    cr_assert_eq(p->servers[0].isolate, S5_ISOLATE_PROCESS | S5_ISOLATE_DESTINATION);
    cr_assert(p->servers[0].n_methods == 1 && p->servers[0].methods[0] == 2);
    cr_assert_eq(p->servers[0].username_len, 0);
    free(p);
}

Test(isolation, of_a_rule)
{
    struct s5_policy *p = load(SERVER "}\nrule a { to = a.example via = p isolate = process }\n"
                                      "rule b { to = b.example via = p isolate = process }\n"
                                      "rule c { via = p }\n", NULL, 0);
    int a = decide(p, "a.example", 80).server, b = decide(p, "b.example", 80).server;
    int c = decide(p, "c.example", 80).server;
    cr_assert(p->n_servers == 2 && a == 1 && b == 1 && c == 0);
    cr_assert(p->servers[1].isolate == S5_ISOLATE_PROCESS && !p->servers[0].isolate);
    cr_assert(p->servers[1].methods[0] == 2 && p->servers[0].methods[0] == 0);
    cr_assert(p->servers[1].name == p->servers[0].name && p->servers[1].isolate_server == 0);
    free(p);
}

Test(isolation, by_rule)
{
    struct s5_policy *p = load(SERVER "isolate = rule }\nrule a { to = a.example via = p }\n"
                                      "rule b { to = b.example via = p }\n"
                                      "rule c { via = p isolate = none }\n", NULL, 0);
    const struct s5_server *a = &p->servers[decide(p, "a.example", 80).server];
    const struct s5_server *b = &p->servers[decide(p, "b.example", 80).server];
    const struct s5_server *c = &p->servers[decide(p, "c.example", 80).server];
    cr_assert(a->isolate_rule == 1 && b->isolate_rule == 2 && a->isolate == S5_ISOLATE_RULE);
    cr_assert(c->isolate == 0 && c->methods[0] == 0);
    free(p);
}

Test(isolation, of_the_environment)
{
    static const char text[] = SERVER "}\nserver q { address = 192.0.2.2 isolate = none }\n"
                                      "rule a { to = a.example via = q }\nrule b { via = p }\n";
    struct s5_policy *p = load(text, "process, destination", 0);
    cr_assert_eq(p->servers[decide(p, "b.example", 80).server].isolate, 6);
    cr_assert_eq(p->servers[decide(p, "a.example", 80).server].isolate, 0);
    free(p);
    p = load(text, "none", 0);
    cr_assert_eq(p->servers[decide(p, "b.example", 80).server].isolate, 0);
    free(p);
    free(load(text, "process,proces", -EINVAL));
    cr_assert_str_eq(fault.text, "SOCKS5_ISOLATE: \"proces\" is unknown; expected none, process, "
                                 "destination, rule");
}

Test(isolation, given_names_and_passwords)
{
    struct s5_policy *p = load(SERVER "methods = userpass isolate = process }\n", NULL, 0);
    cr_assert_eq(p->servers[0].username_len, 0);
    free(p);
    p = load(SERVER "username = alice- password = pw isolate = process }\n", NULL, 0);
    cr_assert(p->servers[0].username_len == 6 && p->servers[0].password_len == 2);
    free(p);
    free(load(SERVER "username = alice- isolate = process }\n", NULL, -EINVAL));
}

static void expect_refused(const char *text, const char *why)
{
    free(load(text, NULL, -EINVAL));
    cr_expect(strstr(fault.text, why), "%s", fault.text);
}

Test(isolation, mistakes)
{
    expect_refused(SERVER "\n isolate = {process, none} }\n", "i.conf:2: isolate: \"none\" excludes other values");
    expect_refused(SERVER "\n isolate = user }\n",
            "i.conf:2: isolate: \"user\" is unknown; expected none, process, destination, rule");
    expect_refused(SERVER "isolate = process methods = {gssapi, userpass} username = a password = b }\n",
            "i.conf: server \"p\": isolation needs user names, but gssapi is among the methods");
    expect_refused(SERVER "methods = gssapi }\nrule a { via = p isolate = process }\n", "gssapi");
    char text[600];
    snprintf(text, sizeof text, SERVER "username = %0240d password = b isolate = process }\n", 1);
    expect_refused(text, "too long to append");
}

Test(isolation, more_rules_than_entries)
{
    char text[8192];
    size_t n = (size_t)snprintf(text, sizeof text, SERVER "isolate = rule }\n");
    for (int i = 0; i < 40; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "rule r%d { ports = %d via = p }\n", i, i + 1);
    free(load(text, NULL, -ENOSPC));
    cr_assert(strstr(fault.text, "i.conf:33: isolation by rule: too many"), "%s", fault.text);
}
