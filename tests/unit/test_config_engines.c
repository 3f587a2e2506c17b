/* The keys of a configuration file that choose engines and describe the namespaces. */
#include "config_script.h"

TestSuite(config_engines, .init = begin, .fini = end);

/* The policy has the programs NAMES, of which the first N_PRELOAD are run by the preload object. */
static void expect_programs(const char *const *names, unsigned n, unsigned n_preload)
{
    cr_assert_eq(policy.n_programs, n);
    for (unsigned i = 0; i < n; i++) {
        cr_expect_str_eq(text_of(policy.programs[i].name), names[i]);
        cr_expect_eq(policy.programs[i].engine, i < n_preload ? S5_ENGINE_PRELOAD : S5_ENGINE_NAMESPACE);
    }
}

#define EXPECT_PROGRAMS(n_preload, ...)                                                                                \
    expect_programs((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),        \
                    n_preload)

Test(config_engines, defaults)
{
    cr_assert_eq(load("server a { address = x }"), 0, "%s", fault.text);
    cr_expect_eq(policy.engine, S5_ENGINE_AUTO);
    cr_expect_eq(policy.n_programs, 0);
    cr_expect_not(policy.no_loopback_in || policy.no_loopback_out || policy.hide_dbus || policy.strict);
}

Test(config_engines, every_value)
{
    static const struct {
        const char *text;
        enum s5_engine_choice engine;
        bool no_in, no_out, hide_dbus;
    } rows[] = {
        {"engine = auto", S5_ENGINE_AUTO, false, false, false},
        {"engine = preload", S5_ENGINE_PRELOAD, false, false, false},
        {"engine = \"namespace\"", S5_ENGINE_NAMESPACE, false, false, false},
        {"namespace-loopback-in = true", S5_ENGINE_AUTO, false, false, false},
        {"namespace-loopback-in = false", S5_ENGINE_AUTO, true, false, false},
        {"namespace-loopback-out = true", S5_ENGINE_AUTO, false, false, false},
        {"namespace-loopback-out = 'false'", S5_ENGINE_AUTO, false, true, false},
        {"namespace-hide-dbus = true", S5_ENGINE_AUTO, false, false, true},
        {"namespace-hide-dbus = false", S5_ENGINE_AUTO, false, false, false},
        {"namespace-hide-dbus = true namespace-loopback-in = false\nnamespace-loopback-out = false engine = namespace",
         S5_ENGINE_NAMESPACE, true, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(load(rows[i].text), 0, "%s", fault.text);
        cr_expect_eq(policy.engine, rows[i].engine, "%s", rows[i].text);
        cr_expect_eq(policy.no_loopback_in, rows[i].no_in, "%s", rows[i].text);
        cr_expect_eq(policy.no_loopback_out, rows[i].no_out, "%s", rows[i].text);
        cr_expect_eq(policy.hide_dbus, rows[i].hide_dbus, "%s", rows[i].text);
        cr_expect_not(policy.strict);
    }
}

Test(config_engines, lists_of_programs)
{
    cr_assert_eq(load("preload-programs = {curl, 'git'}\nnamespace-programs = {go, \"two words\"}"), 0, "%s",
                 fault.text);
    EXPECT_PROGRAMS(2, "curl", "git", "go", "two words");
    cr_assert_eq(load("namespace-programs = {go}\nserver a { address = x }\npreload-programs = {curl}"), 0, "%s",
                 fault.text);
    EXPECT_PROGRAMS(1, "curl", "go");
    cr_assert_eq(load("namespace-programs = {a}\nnamespace-programs += {b, c}"), 0, "%s", fault.text);
    EXPECT_PROGRAMS(0, "a", "b", "c");
    cr_assert_eq(load("namespace-programs = {a, b}\nnamespace-programs = {c}"), 0, "%s", fault.text);
    EXPECT_PROGRAMS(0, "c"); /* as for the lists of a rule */
    cr_assert_eq(load("namespace-programs = go preload-programs = curl"), 0, "%s", fault.text);
    EXPECT_PROGRAMS(1, "curl", "go");
    cr_assert_eq(load("preload-programs = {}\nnamespace-programs = {}"), 0, "%s", fault.text);
    cr_expect_eq(policy.n_programs, 0);
}

/* The preload object is the first choice, wherever the lists are. */
Test(config_engines, a_program_of_both_lists)
{
    cr_assert_eq(load("namespace-programs = {go}\npreload-programs = {go}\nengine = namespace"), 0, "%s", fault.text);
    EXPECT_PROGRAMS(1, "go", "go");
    cr_expect_eq(s5_policy_engine(&policy, "/usr/bin/go"), S5_ENGINE_PRELOAD);
    cr_expect_eq(s5_policy_engine(&policy, "/usr/bin/gofmt"), S5_ENGINE_NAMESPACE);
}

Test(config_engines, mistakes_and_their_lines)
{
    static const struct {
        int line;
        const char *text, *what;
    } cases[] = {
        {2, "\nengine = best", "engine: \"best\" is unknown; expected auto, preload, namespace"},
        {1, "engine = ''", "engine: \"\" is unknown; expected auto, preload, namespace"},
        {1, "engine = Auto", "engine: \"Auto\" is unknown; expected auto, preload, namespace"},
        {1, "engine = {auto}", "unexpected token '{'"},
        {3, "engine = auto\nserver a { address = x }\nengine = auto", "engine is given twice"},
        {1, "namespace-loopback-in = yes", "namespace-loopback-in: \"yes\" is unknown; expected false, true"},
        {1, "namespace-loopback-out = 0", "namespace-loopback-out: \"0\" is unknown; expected false, true"},
        {2, "\nnamespace-hide-dbus = on", "namespace-hide-dbus: \"on\" is unknown; expected false, true"},
        {2, "namespace-loopback-in = true\nnamespace-loopback-in = true", "namespace-loopback-in is given twice"},
        {2, "namespace-loopback-out = true\nnamespace-loopback-out = false", "namespace-loopback-out is given twice"},
        {2, "namespace-hide-dbus = true\nnamespace-hide-dbus = true", "namespace-hide-dbus is given twice"},
        {1, "preload-programs = {/usr/bin/curl}", "preload-programs: \"/usr/bin/curl\" is not the name of a file"},
        {2, "namespace-programs = {go,\n'',\n'a/b'}", "namespace-programs: \"\" is not the name of a file"},
        {3, "namespace-programs = {go,\nrust,\n'bin/go'}", "namespace-programs: \"bin/go\" is not the name of a file"},
        {1, "namespace-programs = {'go/'}", "namespace-programs: \"go/\" is not the name of a file"},
        {2, "server a { address = x\n engine = preload }", "no such option 'engine'"},
        {1, "rule a { via = deny namespace-programs = {go} }", "no such option 'namespace-programs'"},
        {1, "engines = auto", "no such option 'engines'"},
        {1, "strict = true", "no such option 'strict'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault(cases[i].text, cases[i].line, cases[i].what);
}

static char text[160000];
static size_t text_len;

__attribute__((format(printf, 1, 2))) static void add_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + text_len, sizeof text - text_len, format, args);
    va_end(args);
    text_len += (size_t)n;
    cr_assert_lt(text_len, sizeof text);
}

/* Adds a list of N programs, one a line, from the line after KEY on. */
static void add_list(const char *key, int n)
{
    add_text("%s = {", key);
    for (int i = 0; i < n; i++)
        add_text("%s\nprogram%d", i ? "," : "", i);
    add_text("}\n");
}

static const char *take_text(void)
{
    text_len = 0;
    return text;
}

Test(config_engines, number_of_programs)
{
    const int most = S5_POLICY_PROGRAMS, half = most / 2;
    add_list("namespace-programs", most);
    cr_assert_eq(load(take_text()), 0, "%s", fault.text);
    cr_expect_eq(policy.n_programs, most);
    cr_expect_eq(s5_policy_engine(&policy, "program63"), S5_ENGINE_NAMESPACE);

    add_list("namespace-programs", most + 1);
    expect_fault(take_text(), most + 2, "namespace-programs: too many programs: 64 is the limit");
    add_list("preload-programs", most + 1);
    expect_fault(take_text(), most + 2, "preload-programs: too many programs: 64 is the limit");

    add_list("namespace-programs", half);
    add_list("preload-programs", half);
    cr_assert_eq(load(take_text()), 0, "%s", fault.text);
    cr_expect_eq(policy.n_programs, most);
    add_list("namespace-programs", half + 1);
    add_list("preload-programs", half);
    expect_fault(take_text(), half + 2, "namespace-programs: too many programs: 64 is the limit");
}

/* The line of a list is kept over the sections that follow it. */
Test(config_engines, line_of_a_list_before_sections)
{
    add_list("namespace-programs", S5_POLICY_PROGRAMS + 1);
    add_text("server a { address = x }\nrule r { via = deny }\nlog { level = info }\n");
    expect_fault(take_text(), S5_POLICY_PROGRAMS + 2, "namespace-programs: too many programs: 64 is the limit");
}

/* Names share the space with all other texts of the policy, whose end is not reported as a number of programs. */
Test(config_engines, names_that_are_too_long_in_total)
{
    add_text("namespace-programs = {");
    for (int i = 0; i < S5_POLICY_PROGRAMS; i++)
        add_text("%s%02d%02000d", i ? "," : "", i, 0);
    add_text("}");
    expect_fault(take_text(), 1, "namespace-programs: too much text in total");
}
