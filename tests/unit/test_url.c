/* All forms of a server's URL, those that are refused, and the entries of NO_PROXY. */
#include "policy_script.h"
#include "url.h"
#include <errno.h>

static const struct s5_environment nothing;

static struct s5_policy *load(const char *url, const struct s5_environment *env)
{
    struct s5_policy *p = fresh();
    struct s5_fault fault = {"untouched"};
    int r = s5_url_load(p, url, "WHERE", env, &fault);
    cr_assert_eq(r, 0, "%s: %d, %s", url, r, fault.text);
    return p;
}

Test(url, forms)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
        bool local, path;
        uint8_t family; /* of the host, 0 for a name */
    } cases[] = {
        {"socks5h://proxy.example:1081", "proxy.example", 1081, false, false, 0},
        {"socks5://proxy.example:1081", "proxy.example", 1081, true, false, 0},
        {"socks5h://proxy.example", "proxy.example", 1080, false, false, 0},
        {"socks5h://proxy.example/", "proxy.example", 1080, false, false, 0},
        {"socks5h://proxy.example:1/", "proxy.example", 1, false, false, 0},
        {"SOCKS5H://proxy.example:65535", "proxy.example", 65535, false, false, 0},
        {"Socks5://proxy.example:01080", "proxy.example", 1080, true, false, 0},
        {"proxy.example", "proxy.example", 1080, false, false, 0},
        {"proxy.example:99", "proxy.example", 99, false, false, 0},
        {"192.0.2.1", "192.0.2.1", 1080, false, false, S5_ADDR_IPV4},
        {"192.0.2.1:99", "192.0.2.1", 99, false, false, S5_ADDR_IPV4},
        {"socks5h://192.0.2.1:99", "192.0.2.1", 99, false, false, S5_ADDR_IPV4},
        {"[2001:db8::1]", "2001:db8::1", 1080, false, false, S5_ADDR_IPV6},
        {"socks5h://[2001:db8::1]", "2001:db8::1", 1080, false, false, S5_ADDR_IPV6},
        {"socks5h://[2001:db8::1]:99", "2001:db8::1", 99, false, false, S5_ADDR_IPV6},
        {"socks5://[::ffff:192.0.2.1]:99/", "::ffff:192.0.2.1", 99, true, false, S5_ADDR_IPV4},
        {"socks5h://localhost:99", "localhost", 99, false, false, 0},
        {"socks5h://localhost/", "localhost", 1080, false, false, 0},
        {"socks5h://localhost/run/tor/socks", "/run/tor/socks", 1080, false, true, 0},
        {"socks5://LOCALHOST/a.sock", "/a.sock", 1080, true, true, 0},
        {"socks5h://localhost/a@b:c", "/a@b:c", 1080, false, true, 0},
        {"socks5h://localhost/a%20b%2Fc", "/a b/c", 1080, false, true, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = load(cases[i].url, &nothing);
        const struct s5_server *s = &p->servers[0];
        cr_assert_eq(p->n_servers, 1);
        cr_expect_str_eq(s5_policy_text(p, s->host), cases[i].host);
        cr_expect_str_eq(s5_policy_text(p, s->name), "proxy");
        cr_expect_eq(s->port, cases[i].port, "%s", cases[i].url);
        cr_expect_eq(s->is_path, cases[i].path, "%s", cases[i].url);
        cr_expect_eq(p->resolve_local, cases[i].local, "%s", cases[i].url);
        cr_expect_eq(s->n_addrs, cases[i].family ? 1 : 0, "%s", cases[i].url);
        if (cases[i].family)
            cr_expect_eq(s->addrs[0].kind, cases[i].family, "%s", cases[i].url);
        cr_expect(s->n_methods == 1 && s->methods[0] == 0);
        cr_expect_eq(p->n_rules, 1);
        free(p);
    }
}

Test(url, credentials)
{
    static const struct {
        const char *url, *user, *password;
    } cases[] = {
        {"socks5h://alice:secret@h", "alice", "secret"},
        {"socks5h://a%3Ab:c%40d%2Fe%25@h", "a:b", "c@d/e%"},
        {"socks5h://a%3ab:%2f@h", "a:b", "/"},
        {"socks5h://alice:a:b:c@h", "alice", "a:b:c"},
        {"socks5h://alice:p@ss@h", "alice", "p@ss"},
        {"socks5h://%C3%A9:%ff@h", "\xc3\xa9", "\xff"},
        {"socks5h://a+b:c+d@h", "a+b", "c+d"},
        {"alice:secret@h", "alice", "secret"},
        {"socks5h://alice:secret@[::2]:99", "alice", "secret"},
        {"socks5h://alice:secret@localhost/s", "alice", "secret"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = load(cases[i].url, &nothing);
        const struct s5_server *s = &p->servers[0];
        cr_expect(s->n_methods == 1 && s->methods[0] == 2, "%s", cases[i].url);
        cr_expect_eq(s->username_len, strlen(cases[i].user), "%s", cases[i].url);
        cr_expect_eq(s->password_len, strlen(cases[i].password), "%s", cases[i].url);
        cr_expect_eq(memcmp(s->username, cases[i].user, s->username_len), 0, "%s", cases[i].url);
        cr_expect_eq(memcmp(s->password, cases[i].password, s->password_len), 0, "%s", cases[i].url);
        free(p);
    }
}

Test(url, credentials_of_at_most_255_octets)
{
    char url[2048], full[766], over[300];
    struct s5_fault fault;
    for (int i = 0; i < 255; i++)
        memcpy(full + 3 * i, "%41", 4);
    memset(over, 'A', 256), over[256] = '\0';
    snprintf(url, sizeof url, "socks5h://%s:%s@h", full, full);
    struct s5_policy *p = load(url, &nothing);
    cr_expect(p->servers[0].username_len == 255 && p->servers[0].password_len == 255);
    cr_expect(p->servers[0].username[254] == 'A' && p->servers[0].password[254] == 'A');
    s5_policy_init(p);
    snprintf(url, sizeof url, "socks5h://a:%s@h", over);
    cr_expect_eq(s5_url_load(p, url, "-x", &nothing, &fault), -EINVAL);
    s5_policy_init(p);
    snprintf(url, sizeof url, "socks5h://%s:a@h", over);
    cr_expect_eq(s5_url_load(p, url, "-x", &nothing, &fault), -EINVAL);
    free(p);
}

Test(url, credentials_of_the_environment_fill_in)
{
    static const struct {
        const char *url, *user, *password; /* in the environment */
        const char *want_user, *want_password;
    } cases[] = {
        {"socks5h://h", NULL, NULL, NULL, NULL},
        {"socks5h://h", "bob", "word", "bob", "word"},
        {"socks5h://h", "bob", NULL, NULL, NULL},
        {"socks5h://alice@h", NULL, "word", "alice", "word"},
        {"socks5h://alice@h", "bob", "word", "alice", "word"},
        {"socks5h://alice:secret@h", "bob", "word", "alice", "secret"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_environment env = {.user = cases[i].user, .password = cases[i].password};
        struct s5_policy *p = load(cases[i].url, &env);
        const struct s5_server *s = &p->servers[0];
        const char *user = cases[i].want_user ? cases[i].want_user : "";
        const char *password = cases[i].want_password ? cases[i].want_password : "";
        cr_expect_eq(s->methods[0], cases[i].want_user ? 2 : 0, "%s", cases[i].url);
        cr_expect(s->username_len == strlen(user) && !memcmp(s->username, user, strlen(user)));
        cr_expect(s->password_len == strlen(password) && !memcmp(s->password, password, strlen(password)));
        free(p);
    }
}

Test(url, faults)
{
    static const char scheme[] = "WHERE: scheme not supported: use socks5:// or socks5h://";
    static const char port[] = "WHERE: port is not a number from 1 to 65535";
    static const char host[] = "WHERE: host is not a name or address";
    static const char brackets[] = "WHERE: brackets are for an IPv6 address";
    static const char coding[] = "WHERE: user or password has invalid percent-encoding, or is longer than 255 octets";
    static const char path[] = "WHERE: a path names a UNIX socket and requires the host \"localhost\"";
    static const char after[] = "WHERE: nothing may follow the port";
    static const struct {
        const char *url, *fault;
    } cases[] = {
        {"http://h", scheme},
        {"socks4://h", scheme},
        {"socks://h", scheme},
        {"socks5x://h", scheme},
        {"://h", scheme},
        {"alice:s3cret://h", scheme},
        {"", "WHERE: no host"},
        {"socks5h://", "WHERE: no host"},
        {"socks5h://:1080", "WHERE: no host"},
        {"socks5h://a:s3cret@", "WHERE: no host"},
        {"socks5h://[]", "WHERE: no host"},
        {"h:", port},
        {"h:0", port},
        {"h:65536", port},
        {"h:100000", port},
        {"h:8x", port},
        {"h:-1", port},
        {"h: 1", port},
        {"h:+1", port},
        {"2001:db8::1", port},
        {"socks5h://a:s3cret@h:http", port},
        {"socks5h://[::2", "WHERE: \"[\" without \"]\""},
        {"socks5h://[::2]1", "WHERE: no port after \"]\""},
        {"socks5h://[::2]:", port},
        {"socks5h://[proxy.example]", brackets},
        {"socks5h://[192.0.2.1]:1080", brackets},
        {"socks5h://[::g]", host},
        {"socks5h://[fe80::1%eth0]", host},
        {"socks5h://pro xy", host},
        {"socks5h://pr\xc3\xb6xy", host},
        {"socks5h://h/path", path},
        {"socks5h://[::1]/path", path},
        {"socks5h://localhost:1080/path", path},
        {"socks5h://localhost/a%", "WHERE: path has invalid percent-encoding, or is longer than 107 octets"},
        {"socks5h://h?q", after},
        {"socks5h://h#f", after},
        {"socks5h://localhost/run?q", "WHERE: nothing may follow the path"},
        {"socks5h://a:s3cret%@h", coding},
        {"socks5h://a:s3cret%4@h", coding},
        {"socks5h://a:s3cret%4g@h", coding},
        {"socks5h://a:s3cret%00@h", coding},
        {"socks5h://%zz:s3cret@h", coding},
        {"socks5h://alice@h", "WHERE: username without a password"},
        {"socks5h://alice:@h", "WHERE: username without a password"},
        {"socks5h://:s3cret@h", "WHERE: method \"userpass\" without a username"},
        {"socks5h://@h", "WHERE: method \"userpass\" without a username"},
        {"socks5h://a:s3cret/x@h", NULL},
        {"socks5h://a:s3cret#x@h", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_policy *p = fresh();
        struct s5_fault fault = {""};
        cr_expect_eq(s5_url_load(p, cases[i].url, "WHERE", &nothing, &fault), -EINVAL, "\"%s\"", cases[i].url);
        if (cases[i].fault)
            cr_expect(strcmp(fault.text, cases[i].fault) == 0, "\"%s\": \"%s\", not \"%s\"", cases[i].url, fault.text,
                      cases[i].fault);
        cr_expect_eq(strncmp(fault.text, "WHERE: ", 7), 0, "%s", cases[i].url);
        cr_expect_null(strstr(fault.text, "s3cret"), "%s", cases[i].url);
        free(p);
    }
}

Test(url, a_path_too_long_for_a_socket)
{
    char url[256] = "socks5h://localhost/";
    struct s5_policy *p = fresh();
    struct s5_fault fault;
    size_t n = strlen(url);
    memset(url + n, 'p', 106);
    cr_expect_eq(s5_url_load(p, url, "-x", &nothing, &fault), 0, "%s", fault.text);
    s5_policy_init(p);
    url[n + 106] = 'p';
    cr_expect_eq(s5_url_load(p, url, "-x", &nothing, &fault), -EINVAL);
    free(p);
}

/* --- NO_PROXY --- */

struct exception {
    const char *no_proxy, *to;
    uint16_t port;
    enum s5_verdict verdict;
};

static void expect_exception(const struct exception *c)
{
    struct s5_environment env = {.no_proxy = c->no_proxy};
    struct s5_policy *p = load("socks5h://h", &env);
    struct s5_route r = decide(p, c->to, c->port);
    cr_expect_eq(r.verdict, c->verdict, "NO_PROXY=\"%s\", %s:%u", c->no_proxy, c->to, c->port);
    if (r.rule >= 0)
        cr_expect_str_eq(s5_policy_text(p, p->rules[r.rule].name), r.verdict == S5_DIRECT ? "NO_PROXY" : "proxy");
    cr_expect_eq(r.server, r.verdict == S5_VIA ? 0 : -1);
    free(p);
}

Test(url, exceptions)
{
    static const struct exception cases[] = {
        {NULL, "example.org", 80, S5_VIA},
        {"", "example.org", 80, S5_VIA},
        {" , ,", "example.org", 80, S5_VIA},
        {"*", "example.org", 80, S5_DIRECT},
        {"*", "192.0.2.1", 80, S5_DIRECT},
        {"example.org", "example.org", 80, S5_DIRECT},
        {"example.org", "Example.ORG.", 80, S5_DIRECT},
        {"example.org", "www.example.org", 80, S5_VIA},
        {"EXAMPLE.ORG.", "example.org", 80, S5_DIRECT},
        {".example.org", "www.example.org", 80, S5_DIRECT},
        {".example.org", "example.org", 80, S5_DIRECT},
        {".example.org", "xexample.org", 80, S5_VIA},
        {"10.0.0.0/8", "10.1.2.3", 80, S5_DIRECT},
        {"10.0.0.0/8", "11.1.2.3", 80, S5_VIA},
        {"192.0.2.1", "192.0.2.1", 80, S5_DIRECT},
        {"192.0.2.1", "192.0.2.2", 80, S5_VIA},
        {"2001:db8::/32", "2001:db8::5", 80, S5_DIRECT},
        {"2001:db8::1", "2001:db8::1", 80, S5_DIRECT},
        {"[2001:db8::1]", "2001:db8::1", 80, S5_DIRECT},
        {"a.example,b.example", "b.example", 80, S5_DIRECT},
        {"a.example, b.example", "b.example", 80, S5_DIRECT},
        {"a.example b.example", "b.example", 80, S5_DIRECT},
        {" a.example ,b.example,", "a.example", 80, S5_DIRECT},
        {"a.example\tb.example", "b.example", 80, S5_DIRECT},
        {"example.org:8080", "example.org", 8080, S5_DIRECT},
        {"example.org:8080", "example.org", 80, S5_VIA},
        {"192.0.2.1:8080", "192.0.2.1", 8080, S5_DIRECT},
        {"192.0.2.1:8080", "192.0.2.1", 80, S5_VIA},
        {"[2001:db8::1]:8080", "2001:db8::1", 8080, S5_DIRECT},
        {"[2001:db8::1]:8080", "2001:db8::1", 80, S5_VIA},
        {".example:443,example.net", "a.example", 80, S5_VIA},
        {".example:443,example.net", "a.example", 443, S5_DIRECT},
        {".example:443,example.net", "example.net", 80, S5_DIRECT},
        {"localhost,127.0.0.0/8,::1", "127.0.0.1", 80, S5_DIRECT},
        {"localhost,127.0.0.0/8,::1", "example.org", 80, S5_VIA},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_exception(&cases[i]);
}

Test(url, invalid_exceptions)
{
    static const char *const bad[] = {
        "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "h:0",    "h:65536", "h:",   "h:x", ":80",
        ":",           "[::1",       "[::1]:",   "[",      "a/b",     ".",    "::g", "h:123456789",
        "h:80-655350", "*.*",        ":::",      "[::1]x", "[]",      "::1:",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char list[64], want[128];
        struct s5_environment env = {.no_proxy = list};
        struct s5_policy *p = fresh();
        struct s5_fault fault = {""};
        snprintf(list, sizeof list, "good.example,%s", bad[i]);
        snprintf(want, sizeof want, "NO_PROXY: \"%s\" is not a name, address or block", bad[i]);
        cr_expect_eq(s5_url_load(p, "h", "-x", &env, &fault), -EINVAL, "%s", bad[i]);
        cr_expect_str_eq(fault.text, want);
        free(p);
    }
}

/* Entries without a port share one rule, so that a long list fits. */
Test(url, a_long_list_of_exceptions)
{
    char list[16384] = "", *at = list;
    for (int i = 0; i < 1000; i++)
        at += sprintf(at, "%s10.%d.%d.0/24", i ? "," : "", i / 256, i % 256);
    struct s5_environment env = {.no_proxy = list};
    struct s5_policy *p = load("h", &env);
    cr_expect_eq(decide(p, "10.3.231.9", 80).verdict, S5_DIRECT);
    cr_expect_eq(decide(p, "10.3.232.9", 80).verdict, S5_VIA);
    free(p);
}

Test(url, a_list_that_is_too_long_is_a_fault)
{
    static char list[S5_POLICY_MATCHES * 4 + 64];
    for (int i = 0; i < S5_POLICY_MATCHES + 1; i++)
        memcpy(list + 4 * i, "::2,", 5);
    struct s5_environment env = {.no_proxy = list};
    struct s5_policy *p = fresh();
    struct s5_fault fault = {""};
    cr_expect_eq(s5_url_load(p, "h", "-x", &env, &fault), -ENOSPC);
    cr_expect_str_eq(fault.text, "NO_PROXY: too many entries");
    free(p);
}

Test(url, loopback_stays_direct)
{
    struct s5_policy *p = load("socks5h://h", &nothing);
    struct s5_route r = decide(p, "127.0.0.1", 80);
    cr_expect(r.verdict == S5_DIRECT && r.why == S5_WHY_LOOPBACK);
    r = decide_for(p, "192.0.2.1", 80, S5_PROTO_TCP, S5_CMD_BIND);
    cr_expect(r.verdict == S5_DIRECT && r.why == S5_WHY_LISTENER);
    r = decide_for(p, "192.0.2.1", 53, S5_PROTO_UDP, S5_CMD_UDP);
    cr_expect(r.verdict == S5_VIA && r.server == 0);
    free(p);
}

Test(url, several_make_one_rule)
{
    static const char *const urls[] = {"socks5h://a.example:1", "u:p@[2001:db8::1]:2", "localhost/run/s", NULL};
    struct s5_environment env = {.no_proxy = "direct.example"};
    struct s5_fault fault;
    struct s5_policy *p = calloc(1, sizeof *p);
    s5_policy_init(p);
    cr_assert_eq(s5_url_load_list(p, urls, "-x", &env, &fault), 0, "%s", fault.text);
    cr_assert_eq(p->n_servers, 3);
    cr_expect_str_eq(s5_policy_text(p, p->servers[0].name), "a.example:1");
    cr_expect_str_eq(s5_policy_text(p, p->servers[1].name), "[2001:db8::1]:2");
    cr_expect_str_eq(s5_policy_text(p, p->servers[2].name), "/run/s");
    cr_expect(p->servers[0].username_len == 0 && p->servers[1].username_len == 1);
    cr_assert_eq(p->n_rules, 2, "one for NO_PROXY");
    cr_assert(p->rules[1].via_count == 3 && p->n_vias == 3);
    cr_expect_arr_eq(p->vias, ((uint8_t[]){0, 1, 2}), 3);
    free(p);
}

Test(url, commas_make_a_chain)
{
    static const char *const urls[] = {"socks5h://a.example:1,u:p%2Cq@b.example", "c.example", NULL};
    struct s5_fault fault;
    struct s5_policy *p = calloc(1, sizeof *p);
    s5_policy_init(p);
    cr_assert_eq(s5_url_load_list(p, urls, "-x", &nothing, &fault), 0, "%s", fault.text);
    cr_assert_eq(p->n_servers, 4);
    const struct s5_server *chain = &p->servers[2];
    cr_expect_str_eq(s5_policy_text(p, chain->name), "a.example:1,b.example:1080");
    cr_assert_eq(chain->n_hops, 2);
    cr_expect_arr_eq(p->vias + chain->hops_first, ((uint8_t[]){0, 1}), 2);
    cr_expect(p->servers[1].password_len == 3 && memcmp(p->servers[1].password, "p,q", 3) == 0);
    cr_assert_eq(p->rules[0].via_count, 2);
    cr_expect_arr_eq(p->vias + p->rules[0].via_first, ((uint8_t[]){2, 3}), 2);
    free(p);
}

Test(url, mistakes_in_chains)
{
    static const char *const bad[][2] = {{"a.example,,b.example", "-x: no host"},
                                         {"a.example,", "-x: no host"},
                                         {",a.example", "-x: no host"},
                                         {"u:p,q@b.example", "-x: port is not a number from 1 to 65535"}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct s5_fault fault = {""};
        struct s5_policy *p = calloc(1, sizeof *p);
        s5_policy_init(p);
        cr_expect_eq(s5_url_load_list(p, (const char *const[]){bad[i][0], NULL}, "-x", &nothing, &fault), -EINVAL, "%s",
                     bad[i][0]);
        cr_expect_str_eq(fault.text, bad[i][1], "%s: %s", bad[i][0], fault.text);
        free(p);
    }
}

Test(url, several_agree_on_who_resolves_names)
{
    static const char *const urls[] = {"socks5h://a.example:1", "socks5://b.example:1", NULL};
    struct s5_fault fault;
    struct s5_policy *p = calloc(1, sizeof *p);
    s5_policy_init(p);
    cr_assert_eq(s5_url_load_list(p, urls, "-x", &nothing, &fault), -EINVAL);
    cr_expect_str_eq(fault.text, "-x: socks5:// and socks5h:// exclude each other");
    free(p);
}
