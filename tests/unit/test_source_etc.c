/* The files that are used by default, and their order. The test mounts its own /etc, which needs root. */
#include "sources.h"
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

TestSuite(source_etc, .fini = sweep);

/* Mounts an empty /etc for this process, with TEXT in socks5.conf unless it is NULL. */
static void mount_etc(const char *text)
{
    cr_assert_eq(unshare(CLONE_NEWNS), 0, "needs root: %s", strerror(errno));
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0, "%s", strerror(errno));
    cr_assert_eq(mount("none", "/etc", "tmpfs", 0, NULL), 0, "%s", strerror(errno));
    FILE *f = text ? fopen("/etc/socks5.conf", "w") : NULL;
    cr_assert(!text || (f && fputs(text, f) >= 0 && fclose(f) == 0));
}

Test(source_etc, the_systems_file)
{
    struct s5_source s = {.env = {.home = scratch()}};
    mount_etc("rule system { via = direct }\n");
    expect_from(&s, "system", "/etc/socks5.conf");
    put_named(".config/socks5/socks5.conf", "home");
    s.env.home = scratch();
    struct s5_policy *p = load(&s, 0);
    cr_expect_str_eq(s5_policy_text(p, p->rules[0].name), "home");
    free(p);
}

Test(source_etc, the_users_file)
{
    struct s5_source s = {.env = {.home = scratch()}};
    char expected[128];
    put_named(".config/socks5/socks5.conf", "home");
    snprintf(expected, sizeof expected, "%s/.config/socks5/socks5.conf", scratch());
    expect_from(&s, "home", expected);
    s.env.xdg_config_home = "relative"; /* is ignored */
    expect_from(&s, "home", expected);
    char xdg[128];
    snprintf(xdg, sizeof xdg, "%s/xdg", scratch());
    s.env.xdg_config_home = xdg; /* replaces ~/.config, whether it exists or not */
    mount_etc(NULL);
    free(load(&s, -ENOENT));
    put_named("xdg/socks5/socks5.conf", "xdg");
    snprintf(expected, sizeof expected, "%s/xdg/socks5/socks5.conf", scratch());
    expect_from(&s, "xdg", expected);
}

Test(source_etc, no_configuration)
{
    struct s5_source s = {.file = NULL};
    mount_etc(NULL);
    free(load(&s, -ENOENT));
    cr_expect_str_eq(fault.text, "no configuration: no SOCKS5_CONF, SOCKS5_SERVER, SOCKS_SERVER or "
                                 "ALL_PROXY, no /etc/socks5.conf");
    s.env.home = "/nonexistent/home";
    free(load(&s, -ENOENT));
    cr_expect_str_eq(
        fault.text,
        "no configuration: no SOCKS5_CONF, SOCKS5_SERVER, SOCKS_SERVER or ALL_PROXY, no "
        "/nonexistent/home/.config/socks5/socks5.conf, no /etc/socks5.conf");
    s.env.home = "relative";
    free(load(&s, -ENOENT));
    cr_expect_null(strstr(fault.text, "relative"));
}

Test(source_etc, the_current_directory_is_not_used)
{
    struct s5_source s = {.file = NULL};
    mount_etc(NULL);
    put_named("socks5.conf", "here");
    put_named(".config/socks5/socks5.conf", "here");
    put_named("socks5/socks5.conf", "here");
    cr_assert_eq(chdir(scratch()), 0);
    free(load(&s, -ENOENT));
    s.env.home = ".";
    s.env.xdg_config_home = ".";
    free(load(&s, -ENOENT));
    cr_assert_eq(chdir("/"), 0);
}
