/* Which engine runs a program: the policy's choice, and the check of a policy that another process wrote. */
#include "policy_check.h"
#include "policy_script.h"

static struct s5_policy *make_policy(void)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    s5_policy_init(p);
    return p;
}

static void add_program(struct s5_policy *p, const char *name, enum s5_engine_choice engine)
{
    int64_t text = s5_policy_add_text(p, name, strlen(name));
    cr_assert_geq(text, 0);
    cr_assert_lt(p->n_programs, S5_POLICY_PROGRAMS);
    p->programs[p->n_programs++] = (struct s5_program_rule){(uint32_t)text, (uint8_t)engine};
}

Test(engine_choice, without_a_list_it_is_that_of_the_policy)
{
    struct s5_policy *p = fresh();
    cr_assert(p->engine == S5_ENGINE_AUTO && p->n_programs == 0);
    cr_assert_not(p->strict || p->no_loopback_in || p->no_loopback_out || p->hide_dbus);
    for (unsigned engine = S5_ENGINE_AUTO; engine <= S5_ENGINE_NAMESPACE; engine++) {
        p->engine = (uint8_t)engine;
        cr_expect_eq(s5_policy_engine(p, "/usr/bin/curl"), engine);
        cr_expect_eq(s5_policy_engine(p, ""), engine);
    }
    free(p);
}

Test(engine_choice, base_name_of_the_file_decides)
{
    static const struct {
        const char *file;
        enum s5_engine_choice engine;
    } rows[] = {
        {"go", S5_ENGINE_NAMESPACE},
        {"/go", S5_ENGINE_NAMESPACE},
        {"./go", S5_ENGINE_NAMESPACE},
        {"/usr/local/go/bin/go", S5_ENGINE_NAMESPACE},
        {"curl", S5_ENGINE_PRELOAD},
        {"../bin/curl", S5_ENGINE_PRELOAD},
        {"/go/x", S5_ENGINE_AUTO}, /* a directory of that name */
        {"/usr/bin/go/", S5_ENGINE_AUTO},
        {"gofmt", S5_ENGINE_AUTO},
        {"cargo", S5_ENGINE_AUTO},
        {"/usr/bin/GO", S5_ENGINE_AUTO},
        {"g", S5_ENGINE_AUTO},
        {"", S5_ENGINE_AUTO},
        {"/", S5_ENGINE_AUTO},
        {"name with blanks", S5_ENGINE_NAMESPACE},
    };
    struct s5_policy *p = make_policy();
    add_program(p, "go", S5_ENGINE_NAMESPACE);
    add_program(p, "curl", S5_ENGINE_PRELOAD);
    add_program(p, "name with blanks", S5_ENGINE_NAMESPACE);
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_eq(s5_policy_engine(p, rows[i].file), rows[i].engine, "\"%s\"", rows[i].file);
    free(p);
}

Test(engine_choice, the_first_entry_and_each_of_the_most_entries_count)
{
    struct s5_policy *p = make_policy();
    char name[16];
    p->engine = S5_ENGINE_PRELOAD;
    for (int i = 0; i < S5_POLICY_PROGRAMS; i++) {
        snprintf(name, sizeof name, "program%d", i % 40);
        add_program(p, name, i < 40 ? S5_ENGINE_NAMESPACE : S5_ENGINE_AUTO);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "program%d", i);
        cr_expect_eq(s5_policy_engine(p, name), S5_ENGINE_NAMESPACE, "%s", name);
    }
    cr_expect_eq(s5_policy_engine(p, "program40"), S5_ENGINE_PRELOAD);
    cr_assert(s5_policy_is_sound(p));
    free(p);
}

Test(engine_choice, a_policy_out_of_bounds_is_not_sound)
{
    struct s5_policy *p = make_policy();
    add_program(p, "go", S5_ENGINE_NAMESPACE);
    cr_assert(s5_policy_is_sound(p));
    for (unsigned engine = 0; engine < 256; engine++) {
        p->engine = (uint8_t)engine;
        cr_expect_eq(s5_policy_is_sound(p), engine <= S5_ENGINE_NAMESPACE, "engine %u", engine);
        p->engine = S5_ENGINE_AUTO;
        p->programs[0].engine = (uint8_t)engine;
        cr_expect_eq(s5_policy_is_sound(p), engine <= S5_ENGINE_NAMESPACE, "engine %u of a program", engine);
        p->programs[0].engine = S5_ENGINE_PRELOAD;
    }
    memset(p->programs, 0, sizeof p->programs);
    p->n_programs = S5_POLICY_PROGRAMS;
    p->programs[S5_POLICY_PROGRAMS - 1].engine = S5_ENGINE_NAMESPACE;
    cr_expect(s5_policy_is_sound(p));
    p->programs[S5_POLICY_PROGRAMS - 1].engine = S5_ENGINE_NAMESPACE + 1;
    cr_expect_not(s5_policy_is_sound(p));
    p->n_programs = S5_POLICY_PROGRAMS - 1;
    cr_expect(s5_policy_is_sound(p), "what is behind the last entry does not count");
    const uint32_t counts[] = {S5_POLICY_PROGRAMS + 1, 1 << 16, INT32_MAX, UINT32_MAX};
    memset(p->programs, 0, sizeof p->programs);
    for (size_t i = 0; i < COUNT(counts); i++) {
        p->n_programs = counts[i];
        cr_expect_not(s5_policy_is_sound(p), "%u programs", counts[i]);
    }
    free(p);
}

/* The text is read within its bounds, wherever a name of such a policy begins. */
Test(engine_choice, names_anywhere)
{
    static const uint32_t places[] = {0, 1, S5_POLICY_TEXT - 2, S5_POLICY_TEXT - 1, S5_POLICY_TEXT, UINT32_MAX};
    struct s5_policy *p = make_policy();
    memset(p->text, 'x', sizeof p->text - 1);
    p->text[sizeof p->text - 1] = 0;
    p->n_text = S5_POLICY_TEXT;
    p->n_programs = 1;
    for (size_t i = 0; i < COUNT(places); i++) {
        p->programs[0] = (struct s5_program_rule){places[i], S5_ENGINE_NAMESPACE};
        cr_assert(s5_policy_is_sound(p));
        cr_expect_eq(s5_policy_engine(p, "/bin/x"),
                     places[i] == S5_POLICY_TEXT - 2 ? S5_ENGINE_NAMESPACE : S5_ENGINE_AUTO, "%zu", i);
    }
    free(p);
}
