/* Policies that can be identified, and checks of the source of a policy. */
#ifndef SOURCES_H
#define SOURCES_H

#include "policy_script.h"

static struct s5_fault fault;

/* Writes a policy that is identified by the title of its only rule. */
static const char *put_named(const char *file, const char *title)
{
    char text[128];
    snprintf(text, sizeof text, "rule %s { via = direct }\n", title);
    return put(file, text, 0644);
}

static struct s5_policy *load(const struct s5_source *source, int want)
{
    struct s5_policy *p = fresh();
    fault.text[0] = '\0';
    int r = s5_source_load(p, source, &fault);
    cr_assert_eq(r, want, "%d, not %d: %s", r, want, fault.text);
    return p;
}

/* SOURCE must lead to WHAT: the host of a URL's server, or the title of a file's rule. NAMED is its description. */
static void expect_from(const struct s5_source *source, const char *what, const char *named)
{
    struct s5_policy *p = load(source, 0);
    bool url = p->n_servers == 1;
    cr_expect_str_eq(s5_policy_text(p, url ? p->servers[0].host : p->rules[0].name), what);
    cr_expect_str_eq(s5_policy_text(p, p->source), named);
    free(p);
}

#endif
