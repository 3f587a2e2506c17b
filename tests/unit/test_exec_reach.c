/* The choice of an engine for a program that is about to be executed, and the words for socks5-reach. The engine is a
 * structure of the test. REACH_PATH, where socks5-reach is installed, is a file of the current directory. */
#include "reach.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct s5_engine e;
static struct s5_shm *shm;
static struct s5_policy policy;
static struct s5_reach_plan plan;
static char directory[] = "/tmp/test_exec_reach.XXXXXX", object[64], logged[2048];
static bool knows_object;

const char *s5_begin_object(void)
{
    return knows_object ? object : NULL;
}

static void keep_line(void *user, const char *line, size_t len)
{
    (void)user;
    cr_assert_lt(strlen(logged) + len, sizeof logged);
    strncat(logged, line, len);
}

static void make_file(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(chmod(path, mode), 0);
}

static void begin(void)
{
    struct s5_shm_location place;
    cr_assert(mkdtemp(directory) && chdir(directory) == 0);
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    e.shm = shm;
    e.shm_fd = place.fd;
    e.log = (struct s5_log){.level = S5_LOG_ERROR, .write = keep_line};
    e.policy = &policy;
    e.policy_state = S5_ENGINE_LOADED;
    s5_policy_init(&policy);
    make_file(REACH_PATH, 0755);
    /* As the process does that publishes the policy. 0, and the tests fail: the kernel has no SO_NETNS_COOKIE. */
    shm->namespaces.home = s5_namespaces_own_cookie();
}

static void end(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(exec_reach, .init = begin, .fini = end);

static void choose_engine(enum s5_engine_choice engine)
{
    policy.engine = (uint8_t)engine;
    shm->namespaces.chosen = engine != S5_ENGINE_AUTO;
}

/* Decides about the program /bin/tool, which COVERAGE says all about. */
static int decide(enum s5_coverage coverage)
{
    struct s5_program_report report = {.coverage = coverage, .path = "/bin/interpreter", .detail = "what was found"};
    memset(&plan, 0xa5, sizeof plan);
    logged[0] = 0;
    return s5_reach_decide(&e, "/bin/tool", coverage != S5_COVERED, &report, &plan);
}

static void expect_apart(enum s5_coverage coverage)
{
    cr_assert_eq(decide(coverage), 0);
    cr_assert(plan.apart && !plan.plain && plan.policy == &policy);
    cr_assert_str_eq(plan.launcher, REACH_PATH);
    cr_assert_str_eq(logged, "");
}

static void expect_as_usual(enum s5_coverage coverage)
{
    cr_assert_eq(decide(coverage), 0);
    cr_assert_not(plan.apart);
    cr_assert_str_eq(logged, "");
}

static void expect_refused(enum s5_coverage coverage, const char *why)
{
    cr_assert_eq(decide(coverage), -EACCES);
    cr_assert_not(plan.apart);
    cr_assert_not_null(strstr(logged, why), "%s", logged);
    cr_assert_eq(strchr(logged, '\n'), logged + strlen(logged) - 1, "one line: %s", logged);
}

/* --- the choice --- */

static bool can_be_apart(enum s5_coverage coverage)
{
    return coverage != S5_COVERED && coverage != S5_UNKNOWN && coverage != S5_UNCOVERED_SETUID &&
           coverage != S5_UNCOVERED_CAPS;
}

Test(exec_reach, what_cannot_be_covered_runs_in_a_namespace)
{
    expect_as_usual(S5_COVERED);
    for (int coverage = S5_COVERED + 1; coverage < S5_COVERAGES; coverage++)
        if (can_be_apart(coverage))
            expect_apart(coverage);
        else
            expect_refused(coverage, "refused to run /bin/tool: what was found: ");
}

Test(exec_reach, the_policy_chooses)
{
    choose_engine(S5_ENGINE_PRELOAD);
    expect_as_usual(S5_COVERED);
    for (int coverage = S5_COVERED + 1; coverage < S5_COVERAGES; coverage++)
        if (s5_program_is_limited(coverage))
            expect_as_usual(coverage);
        else
            expect_refused(coverage, "refused to run /bin/tool: what was found: ");
    choose_engine(S5_ENGINE_NAMESPACE);
    expect_apart(S5_COVERED);
    expect_apart(S5_UNCOVERED_GO);
    expect_refused(S5_UNCOVERED_SETUID, "what was found");
}

Test(exec_reach, the_program_is_the_file_not_its_interpreter)
{
    choose_engine(S5_ENGINE_AUTO);
    shm->namespaces.chosen = 1;
    policy.programs[0] =
        (struct s5_program_rule){(uint32_t)s5_policy_add_text(&policy, "tool", 4), S5_ENGINE_NAMESPACE};
    policy.n_programs = 1;
    expect_apart(S5_COVERED);
    policy.programs[0].engine = S5_ENGINE_PRELOAD;
    expect_as_usual(S5_COVERED);
    expect_refused(S5_UNCOVERED_STATIC, "what was found");
    policy.programs[0].name = (uint32_t)s5_policy_add_text(&policy, "interpreter", 11);
    expect_apart(S5_UNCOVERED_STATIC);
    struct s5_program_report report = {.coverage = S5_UNCOVERED_STATIC, .path = "/bin/interpreter"};
    cr_assert_eq(s5_reach_decide(&e, NULL, 1, &report, &plan), -EACCES, "a descriptor: its file is in the report");
    cr_assert_not_null(strstr(logged, "refused to run /bin/interpreter"), "%s", logged);
}

/* Most policies choose nothing: they are not loaded for a program that can be covered. */
Test(exec_reach, the_policy_is_not_loaded_in_vain)
{
    e.policy_state = S5_ENGINE_BROKEN;
    e.policy = NULL;
    expect_as_usual(S5_COVERED);
    e.in_namespace = true;
    expect_as_usual(S5_COVERED);
    expect_as_usual(S5_UNCOVERED_GO);
}

Test(exec_reach, without_a_policy_nothing_uncovered_is_run)
{
    e.policy_state = S5_ENGINE_BROKEN;
    e.policy = NULL;
    cr_assert_eq(decide(S5_UNCOVERED_GO), -EACCES);
    cr_assert_not(plan.apart);
    cr_assert_not_null(strstr(logged, "refused to run /bin/tool: what was found: "), "%s", logged);
    shm->namespaces.chosen = 1;
    cr_assert_eq(decide(S5_COVERED), 0, "its own calls are refused");
    cr_assert_not(plan.apart);
}

/* A socksify in this tree starts socks5-reach itself. */
Test(exec_reach, launcher_is_not_started_by_itself)
{
    const struct s5_program_report report = {.coverage = S5_UNCOVERED_LIBC, .path = "/bin/interpreter"};
    cr_assert(mkdir("other", 0755) == 0);
    make_file("other/socks5-reach", 0755);
    choose_engine(S5_ENGINE_NAMESPACE);
    for (int result = 0; result < 2; result++) {
        cr_assert_eq(s5_reach_decide(&e, "./" REACH_PATH, result, &report, &plan), 0);
        cr_assert(plan.plain && !plan.apart);
    }
    cr_assert_eq(s5_reach_decide(&e, "other/socks5-reach", 0, &report, &plan), 0);
    cr_assert(!plan.plain && plan.apart, "another file");
    cr_assert_eq(s5_reach_decide(&e, NULL, 0, &report, &plan), 0);
    cr_assert(!plan.plain && plan.apart);
}

Test(exec_reach, where_no_namespace_can_be_made)
{
    const uint64_t home = shm->namespaces.home;
    const int fd = e.shm_fd;
    choose_engine(S5_ENGINE_NAMESPACE);
    for (int i = 0; i < 4; i++) {
        shm->namespaces.home = i == 0 ? home + 1 : i == 1 ? 0 : home;
        e.shm_fd = i == 2 ? -1 : fd;
        if (i == 3)
            cr_assert_eq(unlink(REACH_PATH), 0);
        expect_refused(S5_COVERED, "refused to run /bin/tool: no namespace can be made here\n");
        expect_refused(S5_UNCOVERED_GO, "refused to run /bin/tool: what was found: ");
    }
    e.shm_fd = fd;
    make_file(REACH_PATH, 0755);
    e.shm = NULL;
    expect_refused(S5_UNCOVERED_GO, "refused to run /bin/tool: what was found: ");
}

Test(exec_reach, a_long_name_in_the_log)
{
    char file[2000];
    struct s5_program_report report = {.coverage = S5_UNCOVERED_GO, .path = file, .detail = "what was found"};
    memset(file, 'x', sizeof file - 1);
    file[sizeof file - 1] = 0;
    e.shm = NULL;
    cr_assert_eq(s5_reach_decide(&e, file, 1, &report, &plan), -EACCES);
    cr_assert_not_null(strstr(logged, "xx: what was found: "), "%s", logged);
}

/* In a build directory socks5-reach is beside the preload object. */
Test(exec_reach, launcher_of_a_build_directory)
{
    char built[128];
    snprintf(object, sizeof object, "%s/preload/libsocksify.so", directory);
    knows_object = true;
    expect_apart(S5_UNCOVERED_GO);
    cr_assert(mkdir("preload", 0755) == 0 && mkdir("tools", 0755) == 0 && mkdir("tools/reach", 0755) == 0);
    make_file("tools/reach/socks5-reach", 0644);
    expect_apart(S5_UNCOVERED_GO);
    make_file("tools/reach/socks5-reach", 0755);
    snprintf(built, sizeof built, "%s/preload/../tools/reach/socks5-reach", directory);
    cr_assert_eq(decide(S5_UNCOVERED_GO), 0);
    cr_assert(plan.apart);
    cr_assert_str_eq(plan.launcher, built);
    strcpy(object, "libsocksify.so"); /* no directory */
    expect_apart(S5_UNCOVERED_GO);
}

/* --- the words --- */

/* The words for the program FILE with the arguments ARGV. They fit into the memory that s5_reach_count() says. */
static char **make_words(const char *file, const char *const *argv)
{
    size_t n = s5_reach_count((char *const *)argv);
    char **words = malloc(n * sizeof *words);
    cr_assert_not_null(words);
    memset(words, 0xa5, n * sizeof *words);
    s5_reach_fill(words, &plan, file, (char *const *)argv);
    return words;
}

static void expect_words(const char *file, const char *const *argv, const char *const *expected)
{
    char **words = make_words(file, argv);
    for (size_t i = 0; expected[i]; i++) {
        cr_assert_not_null(words[i], "word %zu", i);
        cr_assert_str_eq(words[i], expected[i], "word %zu", i);
        cr_assert(words[i + 1] || !expected[i + 1]);
        cr_assert(!words[i + 1] || expected[i + 1], "more: %s", words[i + 1]);
    }
    free(words);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void set_plan(bool no_out, bool no_in, bool hide_dbus)
{
    policy.no_loopback_out = no_out;
    policy.no_loopback_in = no_in;
    policy.hide_dbus = hide_dbus;
    plan = (struct s5_reach_plan){.apart = true, .policy = &policy, .launcher = "/lib/reach"};
}

Test(exec_reach, words_of_the_program)
{
    set_plan(false, false, false);
    expect_words("/bin/go", WORDS("go", "get", "", "-x"), WORDS("/lib/reach", "--", "/bin/go", "go", "get", "", "-x"));
    expect_words("/bin/go", WORDS("go"), WORDS("/lib/reach", "--", "/bin/go", "go"));
}

/* The kernel gives a program without words an empty one. */
Test(exec_reach, words_without_arguments)
{
    set_plan(false, false, false);
    expect_words("/bin/go", NULL, WORDS("/lib/reach", "--", "/bin/go", ""));
    expect_words("/bin/go", (const char *const[]){NULL}, WORDS("/lib/reach", "--", "/bin/go", ""));
    set_plan(true, true, true);
    expect_words("/bin/go", NULL,
                 WORDS("/lib/reach", "--no-loopback-out", "--no-loopback-in", "--hide-dbus", "--", "/bin/go", ""));
}

Test(exec_reach, words_of_the_policy)
{
    set_plan(true, false, false);
    expect_words("f", WORDS("a"), WORDS("/lib/reach", "--no-loopback-out", "--", "f", "a"));
    set_plan(false, true, false);
    expect_words("f", WORDS("a"), WORDS("/lib/reach", "--no-loopback-in", "--", "f", "a"));
    set_plan(false, false, true);
    expect_words("f", WORDS("a"), WORDS("/lib/reach", "--hide-dbus", "--", "f", "a"));
    set_plan(true, true, true);
    expect_words("f", WORDS("a", "b"),
                 WORDS("/lib/reach", "--no-loopback-out", "--no-loopback-in", "--hide-dbus", "--", "f", "a", "b"));
}

Test(exec_reach, many_words)
{
    const char *argv[1001];
    for (int i = 0; i < 1000; i++)
        argv[i] = "word";
    argv[1000] = NULL;
    set_plan(true, true, true);
    char **words = make_words("f", argv);
    cr_assert_str_eq(words[5], "f");
    cr_assert_str_eq(words[1005], "word");
    cr_assert_null(words[1006]);
    free(words);
}
