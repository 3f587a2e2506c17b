/* Which programs can be covered: checks of files made octet by octet and of real ones. */
#include "program_files.h"
#include <errno.h>
#include <sys/resource.h>

TestSuite(program, .init = enter, .fini = leave);

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text), 0755);
}

static void expect_image(const struct image *i, enum s5_coverage coverage)
{
    put("it", i, sizeof *i, 0755);
    expect("./it", coverage);
}

Test(program, real_programs)
{
    expect("/bin/true", S5_COVERED);
    expect("/proc/self/exe", S5_COVERED);
    put_text("s.c", "int main(void){return 0;}\n");
    if (system("gcc -static -o static s.c 2>/dev/null") == 0)
        expect("./static", S5_UNCOVERED_STATIC);
    if (system("gcc -static-pie -o pie s.c 2>/dev/null") == 0)
        expect("./pie", S5_UNCOVERED_STATIC);
    if (access(OWN_LOADER, X_OK) == 0)
        expect(OWN_LOADER, S5_UNCOVERED_STATIC);
}

#ifdef __x86_64__
Test(program, interpreters)
{
    struct image i = image(OWN_LOADER);
    expect_image(&i, S5_COVERED);
    i.eh.e_type = ET_EXEC;
    expect_image(&i, S5_COVERED);
    i = image("/opt/other/ld-linux-x86-64.so.2");
    expect_image(&i, S5_COVERED);
    i = image("/lib/ld-musl-x86_64.so.1");
    expect_image(&i, S5_UNCOVERED_LIBC);
    cr_assert_str_eq(report.detail, "interpreter /lib/ld-musl-x86_64.so.1");
    i = image("/lib/ld-linux-x86-64.so.2x");
    expect_image(&i, S5_UNCOVERED_LIBC);
    i = image(NULL);
    expect_image(&i, S5_UNCOVERED_STATIC);
}
#endif

#ifdef __x86_64__
/* Writes a note of an image to where the name of its interpreter would continue. Returns its length. */
static size_t put_note(struct image *i, size_t at, const char *owner, uint32_t owner_len, uint32_t len)
{
    ElfW(Nhdr) head = {.n_namesz = owner_len, .n_descsz = len, .n_type = 4};
    char *to = i->interp + 32 + at;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, owner, owner_len);
    return (sizeof head + owner_len + len + 3) & ~(size_t)3;
}

Test(program, made_by_go)
{
    struct image i = image(OWN_LOADER);
    i.ph[0].p_type = PT_NOTE;
    i.ph[0].p_offset = offsetof(struct image, interp) + 32;
    i.ph[0].p_filesz = put_note(&i, 0, "GNU", 4, 0);
    expect_image(&i, S5_COVERED);
    i.ph[0].p_filesz += put_note(&i, 16, "Go\0", 4, 0);
    expect_image(&i, S5_UNCOVERED_GO);
    struct image swapped = i; /* whatever the order of the headers */
    swapped.ph[0] = i.ph[1];
    swapped.ph[1] = i.ph[0];
    expect_image(&swapped, S5_UNCOVERED_GO);
    i.ph[0].p_filesz -= 1; /* truncated, it is no note */
    expect_image(&i, S5_COVERED);
    put_note(&i, 0, "GNU", 4, UINT32_MAX);
    i.ph[0].p_filesz = 32;
    expect_image(&i, S5_COVERED);
    i.ph[0].p_filesz = UINT64_MAX; /* nothing beyond the end of the file is read */
    expect_image(&i, S5_COVERED);
    i = image("/lib/ld-musl-x86_64.so.1");
    i.ph[0].p_type = PT_NOTE;
    i.ph[0].p_offset = offsetof(struct image, interp) + 32;
    i.ph[0].p_filesz = put_note(&i, 0, "Go\0", 4, 0);
    expect_image(&i, S5_UNCOVERED_LIBC);
}
#endif

Test(program, other_machines)
{
    struct image i = image(OWN_LOADER);
    i.eh.e_machine = EM_S390;
    expect_image(&i, S5_UNCOVERED_ABI);
    cr_assert(strstr(report.detail, "machine 22"), "%s", report.detail);
    i = image(OWN_LOADER);
    i.eh.e_ident[EI_CLASS] ^= ELFCLASS32 ^ ELFCLASS64;
    expect_image(&i, S5_UNCOVERED_ABI);
    i = image(OWN_LOADER);
    i.eh.e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB;
    expect_image(&i, S5_UNCOVERED_ABI);
    put("it", "\177\0\1\2", 4, 0755);
    expect("./it", S5_UNCOVERED_ABI);
}

Test(program, malformed_headers_are_left_to_exec)
{
    struct image i = image(OWN_LOADER);
    i.eh.e_type = ET_CORE;
    expect_image(&i, S5_UNKNOWN);
    i = image(OWN_LOADER);
    i.eh.e_phentsize--;
    expect_image(&i, S5_UNKNOWN);
    i = image(OWN_LOADER);
    i.eh.e_phnum = 0;
    expect_image(&i, S5_UNKNOWN);
    i.eh.e_phnum = 65535;
    expect_image(&i, S5_UNKNOWN);
    i = image(OWN_LOADER);
    i.eh.e_phoff = UINT64_MAX - 8;
    expect_image(&i, S5_UNKNOWN);
    i.eh.e_phoff = sizeof i - 8;
    expect_image(&i, S5_UNKNOWN);
    static const uint64_t sizes[] = {0, 1, PATH_MAX + 1, UINT64_MAX, 5, 100};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        i = image(OWN_LOADER);
        i.ph[1].p_filesz = sizes[k];
        expect_image(&i, S5_UNKNOWN);
    }
    i = image(OWN_LOADER);
    i.ph[1].p_offset = UINT64_MAX - 1;
    expect_image(&i, S5_UNKNOWN);
}

/* A truncated file is no program, and no octet past its end is needed to detect that. */
Test(program, truncated_at_every_octet)
{
    struct image i = image("/lib/ld-musl-x86_64.so.1");
    size_t whole = offsetof(struct image, interp) + strlen(i.interp) + 1;
    for (size_t n = SELFMAG; n < whole; n++) {
        put("it", &i, n, 0755);
        expect("./it", S5_UNKNOWN);
    }
    put("it", &i, whole, 0755);
    expect("./it", S5_UNCOVERED_LIBC);
}

Test(program, not_to_be_executed)
{
    expect("./missing", S5_UNKNOWN);
    cr_assert_eq(check("./missing"), -ENOENT);
    put("data", "x", 1, 0644);
    cr_assert_eq(check("./data"), -EACCES);
    cr_assert_eq(check("./data/x"), -ENOTDIR);
    cr_assert_eq(check("/tmp"), -EACCES);
    cr_assert_eq(mkfifo("fifo", 0777), 0);
    cr_assert_eq(check("./fifo"), -EACCES);
    char path[PATH_MAX + 2];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    cr_assert_eq(check(path), -ENAMETOOLONG);
}

Test(program, scripts)
{
    struct image i = image(NULL);
    put("static", &i, sizeof i, 0755);
    put_text("sh", "#!/bin/sh -e\n");
    expect("./sh", S5_COVERED);
    put_text("blank", "#! \t/bin/sh");
    expect("./blank", S5_COVERED);
    put_text("plain", "echo no interpreter named\n");
    expect("./plain", S5_COVERED);
    put_text("empty", "");
    expect("./empty", S5_COVERED);
    put_text("s1", "#!./static -x y\n");
    expect("./s1", S5_UNCOVERED_STATIC);
    cr_assert_str_eq(report.path, "./static");
    put_text("s2", "#!./s1\n");
    put_text("s3", "#!./s2\n");
    expect("./s3", S5_UNCOVERED_STATIC);
    put_text("loop", "#!./loop\n");
    cr_assert_eq(check("./loop"), -ELOOP);
    put_text("gone", "#!/nowhere/at/all\n");
    cr_assert_eq(check("./gone"), -ENOENT);
    put_text("none", "#! \n/bin/sh\n");
    cr_assert_eq(check("./none"), -ENOEXEC);
    char text[400] = "#!";
    memset(text + 2, '/', sizeof text - 3);
    put_text("long", text);
    cr_assert_eq(check("./long"), -ENOEXEC);
}

Test(program, the_argument_of_env_is_checked)
{
    struct image i = image(NULL);
    put("static-one", &i, sizeof i, 0755);
    static const struct {
        const char *line;
        enum s5_coverage coverage;
    } rows[] = {
        {"#!/usr/bin/env static-one\n", S5_UNCOVERED_STATIC},
        {"#!/usr/bin/env -S static-one -x\n", S5_UNCOVERED_STATIC},
        {"#!/usr/bin/env -SA=b  static-one\n", S5_UNCOVERED_STATIC},
        {"#!/usr/bin/env sh\n", S5_COVERED},
        {"#!/usr/bin/env\n", S5_COVERED},
        {"#!/usr/bin/env -i\n", S5_COVERED},              /* checked again when env calls exec */
        {"#!/usr/bin/env no-such-program\n", S5_COVERED}, /* env reports it */
        {"#!/usr/bin/env -S \"static-one\"\n", S5_COVERED},
    };
    char search[128];
    snprintf(search, sizeof search, "/bin:%s", dir);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        put_text("script", rows[k].line);
        s5_program_check(&calls, "./script", search, &report);
        cr_assert_eq(report.coverage, rows[k].coverage, "%s", rows[k].line);
    }
}

#ifdef __x86_64__
Test(program, no_descriptor_left)
{
    struct image i = image(NULL);
    put("static", &i, sizeof i, 0755);
    struct rlimit old, limit;
    getrlimit(RLIMIT_NOFILE, &old);
    limit = old;
    limit.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int r = check("./static");
    char path[PATH_MAX];
    int found = s5_program_find(&calls, "static", ".", path, sizeof path);
    setrlimit(RLIMIT_NOFILE, &old);
    cr_assert_eq(r, 1);
    cr_assert_eq(found, 0);
}
#endif

static int find_program(const char *file, const char *search, char *ret)
{
    return s5_program_find(&calls, file, search, ret, PATH_MAX);
}

Test(program, search)
{
    char path[PATH_MAX], search[200];
    cr_assert_eq(mkdir("a", 0755), 0);
    cr_assert_eq(mkdir("b", 0755), 0);
    cr_assert_eq(mkdir("a/tool", 0755), 0); /* a directory of that name is skipped */
    put("a/both", "", 0, 0644);
    put("b/both", "", 0, 0755);
    put("b/tool", "", 0, 0755);
    put("a/barred", "", 0, 0644);
    put("here", "", 0, 0755);
    cr_assert_eq(find_program("both", "a:b", path), 0);
    cr_assert_str_eq(path, "b/both");
    cr_assert_eq(find_program("tool", "a/:b/", path), 0);
    cr_assert_str_eq(path, "b/tool");
    cr_assert_eq(find_program("barred", "a:b:nowhere", path), -EACCES);
    cr_assert_eq(find_program("nothing", "a:b", path), -ENOENT);
    cr_assert_eq(find_program("here", "a::b", path), 0);
    cr_assert_str_eq(path, "here");
    cr_assert_eq(find_program("here", "", path), 0);
    cr_assert_eq(find_program("here", "a:", path), 0);
    cr_assert_eq(find_program("here", "a:b", path), -ENOENT);
    cr_assert_eq(find_program("true", NULL, path), 0);
    cr_assert_str_eq(path, "/bin/true");
    cr_assert_eq(find_program("x/y", "a", path), 0);
    cr_assert_str_eq(path, "x/y");
    cr_assert_eq(find_program("", "a", path), -ENOENT);
    char name[NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_eq(find_program(name, "a", path), -ENAMETOOLONG);
    snprintf(search, sizeof search, "%s/b", dir);
    cr_assert_eq(s5_program_find(&calls, "both", search, path, 4), -ENAMETOOLONG);
}
