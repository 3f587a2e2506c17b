/* The source of a policy: the order of the sources, the conditions under which each is used, and that none is
 * skipped silently. */
#include "sources.h"
#include <errno.h>

TestSuite(source, .fini = sweep);

/* The sources are removed one after another. Each time the next one must be used. */
Test(source, the_first_source_that_exists_is_used)
{
    const char *file = put_named("c.conf", "command-line");
    static const char *const urls[] = {"socks5h://url", NULL};
    struct s5_source s = {.file = file, .urls = urls};
    expect_from(&s, "command-line", file);
    s.file = NULL;
    const char *conf = put_named("e.conf", "environment");
    s.env = (struct s5_environment){
        .socks5_conf = conf,
        .socks5_server = "first",
        .socks_server = "second",
        .all_proxy = "socks5h://third",
        .xdg_config_home = scratch(),
        .home = scratch(),
    };
    put_named("socks5/socks5.conf", "user");
    char user[128];
    snprintf(user, sizeof user, "%s/socks5/socks5.conf", scratch());
    expect_from(&s, "url", "-x");
    s.urls = NULL;
    expect_from(&s, "environment", conf);
    s.env.socks5_conf = NULL;
    expect_from(&s, "first", "SOCKS5_SERVER");
    s.env.socks5_server = NULL;
    expect_from(&s, "second", "SOCKS_SERVER");
    s.env.socks_server = NULL;
    expect_from(&s, "third", "ALL_PROXY");
    s.env.all_proxy = NULL;
    expect_from(&s, "user", user);
}

/* A source that is named, or exists, is used or causes a fault. The next source never replaces it. */
Test(source, a_broken_source_is_not_skipped)
{
    char gone[128], broken[160];
    put_named(".config/socks5/socks5.conf", "good");
    snprintf(gone, sizeof gone, "%s/gone", scratch());
    struct s5_source s = {.file = gone, .env = {.home = scratch(), .socks5_server = "good"}};
    snprintf(broken, sizeof broken, "%s: no such file or directory", gone);
    free(load(&s, -ENOENT));
    cr_expect_str_eq(fault.text, broken);
    s.file = NULL;
    s.env.socks5_conf = gone;
    free(load(&s, -ENOENT));
    cr_expect_str_eq(fault.text, broken);
    s.env.socks5_conf = NULL;
    s.env.socks5_server = "http://proxy";
    free(load(&s, -EINVAL));
    cr_expect_str_eq(fault.text, "SOCKS5_SERVER: scheme not supported: use socks5:// or socks5h://");
    s.env.socks5_server = NULL;
    s.env.socks_server = "proxy:99999";
    free(load(&s, -EINVAL));
    cr_expect_str_eq(fault.text, "SOCKS_SERVER: port is not a number from 1 to 65535");
    s.env.socks_server = NULL;
    s.urls = (const char *const[]){"socks5://a:s3cret%zz@h", NULL};
    free(load(&s, -EINVAL));
    cr_expect_str_eq(fault.text, "-x: user or password has invalid percent-encoding, or is longer than 255 "
                                 "octets");
    s.urls = NULL;
    const char *file = put(".config/socks5/socks5.conf", "resolve = local\nbad = 1\n", 0600);
    snprintf(broken, sizeof broken, "%s:2: no such option 'bad'", file);
    free(load(&s, -EINVAL));
    cr_expect_str_eq(fault.text, broken);
}

Test(source, a_default_file_that_cannot_be_opened_is_a_fault)
{
    char loop[128], fault_text[256];
    snprintf(loop, sizeof loop, "%s/.config", scratch());
    cr_assert_eq(symlink(".config", loop), 0);
    struct s5_source s = {.env = {.home = scratch()}};
    free(load(&s, -ELOOP));
    snprintf(fault_text, sizeof fault_text, "%s/.config/socks5/socks5.conf: ", scratch());
    cr_expect_eq(strncmp(fault.text, fault_text, strlen(fault_text)), 0, "%s", fault.text);
}

Test(source, a_home_too_long_is_a_fault)
{
    static char home[8192];
    memset(home, 'h', sizeof home - 1);
    home[0] = '/';
    struct s5_source s = {.env = {.home = home}};
    free(load(&s, -ENAMETOOLONG));
}

/* --- the environment --- */

/* The environment is not written to here, although its type is not const. */
static void read_strings(struct s5_environment *ret, const char *const *strings)
{
    s5_environment_read(ret, (char *const *)(uintptr_t)strings);
}

Test(source, variables)
{
    static const char *const strings[] = {
        "SOCKS5_CONFX=no",          "XSOCKS5_CONF=no",        "SOCKS5_CONF=conf", "SOCKS5_SERVER=a=b",
        "SOCKS_SERVER=socks",       "ALL_PROXY=socks5://all", "NO_PROXY=none",    "SOCKS5_USER=user",
        "SOCKS5_PASSWD=passwd",     "XDG_CONFIG_HOME=/xdg",   "HOME=/home",       "SOCKS5_CONF=late",
        "all_proxy=socks5://lower", "no_proxy=lower",         "noequals",         NULL,
    };
    struct s5_environment env;
    memset(&env, 0xa5, sizeof env);
    read_strings(&env, strings);
    cr_expect_str_eq(env.socks5_conf, "conf");
    cr_expect_str_eq(env.socks5_server, "a=b");
    cr_expect_str_eq(env.socks_server, "socks");
    cr_expect_str_eq(env.all_proxy, "socks5://all");
    cr_expect_str_eq(env.no_proxy, "none");
    cr_expect_str_eq(env.user, "user");
    cr_expect_str_eq(env.password, "passwd");
    cr_expect_str_eq(env.xdg_config_home, "/xdg");
    cr_expect_str_eq(env.home, "/home");
}

Test(source, no_variables)
{
    struct s5_environment env, zero = {0};
    char *none = NULL;
    memset(&env, 0xa5, sizeof env);
    s5_environment_read(&env, &none);
    cr_expect_eq(memcmp(&env, &zero, sizeof env), 0);
    memset(&env, 0xa5, sizeof env);
    s5_environment_read(&env, NULL);
    cr_expect_eq(memcmp(&env, &zero, sizeof env), 0);
}

Test(source, empty_and_lower_case_variables)
{
    static const struct {
        const char *strings[3];
        const char *all, *no;
    } cases[] = {
        {{"ALL_PROXY=socks5h://u", "all_proxy=socks5h://l"}, "socks5h://u", NULL},
        {{"all_proxy=socks5h://l"}, "socks5h://l", NULL},
        {{"ALL_PROXY=", "all_proxy=socks5h://l"}, "socks5h://l", NULL},
        {{"ALL_PROXY=SOCKS5://u"}, "SOCKS5://u", NULL},
        {{"ALL_PROXY=http://u"}, NULL, NULL},
        {{"ALL_PROXY=socks4a://u"}, NULL, NULL},
        {{"ALL_PROXY=socks5:"}, NULL, NULL},
        {{"ALL_PROXY=u:1080"}, NULL, NULL},
        {{"ALL_PROXY=http://u", "all_proxy=socks5://l"}, NULL, NULL},
        {{"NO_PROXY=u", "no_proxy=l"}, NULL, "u"},
        {{"no_proxy=l"}, NULL, "l"},
        {{"NO_PROXY=", "no_proxy=l"}, NULL, "l"},
        {{"NO_PROXY="}, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s5_environment env;
        read_strings(&env, cases[i].strings);
        cr_expect_str_eq(env.all_proxy ? env.all_proxy : "", cases[i].all ? cases[i].all : "", "%s",
                         cases[i].strings[0]);
        cr_expect_str_eq(env.no_proxy ? env.no_proxy : "", cases[i].no ? cases[i].no : "", "%s", cases[i].strings[0]);
    }
}

/* NO_PROXY applies only to the server of a URL. A file has its own rules. */
Test(source, exceptions_belong_to_urls)
{
    struct s5_source s = {.urls = (const char *const[]){"proxy", NULL}, .env = {.no_proxy = "192.0.2.0/24"}};
    struct s5_policy *p = load(&s, 0);
    cr_expect_eq(decide(p, "192.0.2.1", 80).verdict, S5_DIRECT);
    free(p);
    s.urls = NULL;
    s.env.socks5_server = "proxy";
    p = load(&s, 0);
    cr_expect_eq(decide(p, "192.0.2.1", 80).verdict, S5_DIRECT);
    free(p);
    s.file = put("n.conf", "server s { address = proxy } rule r { via = s }\n", 0644);
    p = load(&s, 0);
    cr_expect_eq(decide(p, "192.0.2.1", 80).verdict, S5_VIA);
    free(p);
}

/* --- the fingerprint --- */

Test(source, the_fingerprint_distinguishes_environments)
{
    static const struct s5_environment envs[] = {
        {0},
        {.socks5_conf = "x"},
        {.socks5_conf = "y"},
        {.socks5_server = "x"},
        {.socks_server = "x"},
        {.all_proxy = "x"},
        {.no_proxy = "x"},
        {.user = "x"},
        {.password = "x"},
        {.user = "x", .password = "x"},
        {.user = "xx"},
        {.user = "xx", .password = ""},
        {.socks5_conf = "xx"},
        {.socks5_conf = "x", .socks5_server = "x"},
    };
    for (size_t i = 0; i < COUNT(envs); i++) {
        struct s5_environment same = envs[i];
        cr_expect_eq(s5_source_fingerprint(&envs[i]), s5_source_fingerprint(&same));
        same.home = "/somewhere";
        same.xdg_config_home = "/else";
        cr_expect_eq(s5_source_fingerprint(&envs[i]), s5_source_fingerprint(&same));
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(s5_source_fingerprint(&envs[i]), s5_source_fingerprint(&envs[j]), "%zu, %zu", i, j);
    }
}

Test(source, a_variable_may_have_several_urls)
{
    struct s5_source s = {.env = {.socks5_server = " socks5h://a.example:1  socks5h://b.example:2\t"}};
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_eq(s5_source_load(p, &s, &fault), 0, "%s", fault.text);
    cr_assert(p->n_servers == 2 && p->n_vias == 2 && p->servers[1].port == 2);
    s.env.socks5_server = "a.example socks5://b.example";
    cr_assert_eq(s5_source_load(p, &s, &fault), -EINVAL);
    cr_assert_str_eq(fault.text, "SOCKS5_SERVER: socks5:// and socks5h:// exclude each other");
    s.env.socks5_server = "  ";
    cr_assert_eq(s5_source_load(p, &s, &fault), -EINVAL);
    char many[40 * 4] = "";
    for (int i = 0; i < 33; i++)
        strcat(many, "h ");
    s.env.socks5_server = many;
    cr_assert_eq(s5_source_load(p, &s, &fault), -EINVAL);
    cr_assert_str_eq(fault.text, "SOCKS5_SERVER: more than 32 URLs");
    free(p);
}
