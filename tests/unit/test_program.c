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
    cr_assert_eq(symlink(OWN_LOADER, "ld-linux-x86-64.so.2"), 0);
    i = image("./ld-linux-x86-64.so.2");
    expect_image(&i, S5_COVERED);
    cr_assert(!report.fails);
    i = image("/opt/other/ld-linux-x86-64.so.2");
    expect_image(&i, S5_UNKNOWN);
    cr_assert_eq(check("./it"), -ENOENT);
    i = image("/lib/ld-musl-x86_64.so.1");
    expect_image(&i, S5_UNCOVERED_LIBC);
    cr_assert_str_eq(report.detail, "interpreter /lib/ld-musl-x86_64.so.1");
    cr_assert_eq(report.fails, access("/lib/ld-musl-x86_64.so.1", X_OK) != 0);
    i = image("./ld-musl-x86_64.so.1");
    put("ld-musl-x86_64.so.1", &i, sizeof i, 0755);
    expect_image(&i, S5_UNCOVERED_LIBC);
    cr_assert(!report.fails);
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
    cr_assert_eq(check("./plain"), -ENOEXEC);
    put_text("empty", "");
    cr_assert_eq(check("./empty"), -ENOEXEC);
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

/* What env runs is checked when env calls exec. */
Test(program, env_is_not_followed)
{
    put_text("script", "#!/usr/bin/env no-such-program\n");
    expect("./script", S5_COVERED);
}

Test(program, in_a_directory)
{
    struct image i = image(NULL);
    cr_assert_eq(mkdir("a", 0755), 0);
    put("a/static", &i, sizeof i, 0755);
    put_text("a/script", "#!./static\n");
    int there = open("a", O_PATH | O_DIRECTORY);
    cr_assert_eq(s5_program_check(&calls, &place, there, "static", &report), 1);
    cr_assert_eq(s5_program_check(&calls, &place, there, "none", &report), -ENOENT);
    /* The interpreter begins where the program starts. */
    cr_assert_eq(s5_program_check(&calls, &place, there, "script", &report), -ENOENT);
    struct s5_program_place other = {.dir = there};
    cr_assert_eq(s5_program_check(&calls, &other, there, "script", &report), 1);
    cr_assert_str_eq(report.path, "./static");
    close(there);
}

Test(program, of_a_descriptor)
{
    struct image i = image(NULL);
    put("static", &i, sizeof i, 0755);
    put("data", &i, sizeof i, 0644);
    put_text("script", "#!./static\n");
    static const int flags[] = {O_RDONLY, O_PATH};
    for (int k = 0; k < 2; k++) {
        int fd = open("static", flags[k]);
        cr_assert_eq(s5_program_check(&calls, &place, fd, NULL, &report), 1);
        cr_assert_eq(report.coverage, S5_UNCOVERED_STATIC);
        close(fd);
        fd = open("script", flags[k]);
        cr_assert_eq(s5_program_check(&calls, &place, fd, NULL, &report), 1);
        cr_assert_str_eq(report.path, "./static");
        close(fd);
        fd = open("data", flags[k]);
        cr_assert_eq(s5_program_check(&calls, &place, fd, NULL, &report), -EACCES);
        close(fd);
    }
    cr_assert_eq(s5_program_check(&calls, &place, 1000, NULL, &report), -EBADF);
}

static int open_without_proc(int from, const char *path, int flags, ...)
{
    return strncmp(path, "/proc", 5) == 0 ? (errno = ENOENT, -1) : openat(from, path, flags);
}

Test(program, of_a_descriptor_without_proc)
{
    const struct s5_program_calls without = {open_without_proc, pread, fstatat, close, fgetxattr, faccessat};
    struct image i = image(NULL);
    put("static", &i, sizeof i, 0755);
    int fd = open("static", O_RDONLY);
    cr_assert_eq(s5_program_check(&without, &place, fd, NULL, &report), 1);
    cr_assert_eq(report.coverage, S5_UNCOVERED_STATIC);
    cr_assert_eq(fcntl(fd, F_GETFD), 0);
    close(fd);
    fd = open("static", O_PATH);
    cr_assert_eq(s5_program_check(&without, &place, fd, NULL, &report), 1);
    cr_assert_eq(report.coverage, S5_UNCOVERED_UNREADABLE);
    close(fd);
}

Test(program, object)
{
    struct image i = image(NULL);
    static const struct {
        const char *path;
        int result;
    } rows[] = {{"object", 0},  {"./object", 0}, {"none", 1}, {"text", 1}, {"empty", 1},
                {"program", 1}, {"other", 1},    {"/tmp", 1}, {NULL, 0}};
    put("object", &i, sizeof i, 0644);
    put("text", "no object at all, but long enough to be a header of one: no object at all", 72, 0644);
    put("empty", "", 0, 0644);
    i.eh.e_type = ET_EXEC;
    put("program", &i, sizeof i, 0644);
    i.eh.e_type = ET_DYN;
    i.eh.e_machine = EM_S390;
    put("other", &i, sizeof i, 0644);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        place.object = rows[k].path;
        expect("/bin/true", rows[k].result ? S5_UNCOVERED_OBJECT : S5_COVERED);
        cr_assert(!rows[k].result || strstr(report.detail, rows[k].path), "%s", report.detail);
        expect("./none", S5_UNKNOWN);
    }
    place.object = "none"; /* a program that is not covered for another reason */
    i = image(NULL);
    put("static", &i, sizeof i, 0755);
    expect("./static", S5_UNCOVERED_STATIC);
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
    setrlimit(RLIMIT_NOFILE, &old);
    cr_assert_eq(r, 1);
    cr_assert_eq(report.coverage, S5_UNCOVERED_UNREADABLE);
}
#endif

/* Makes one step of a search, and returns the result. The path that was found is in RET, or "". */
static int find_program(const char *file, const char *path, char *ret)
{
    struct s5_program_search search;
    char *buf = malloc(s5_program_search_size(file, path));
    s5_program_search_begin(&search, file, path, buf);
    int result = s5_program_search_next(&calls, &place, &search, &report);
    strcpy(ret, search.path ? search.path : "");
    free(buf);
    return result;
}

static void expect_found(const char *file, const char *path, int result, const char *found)
{
    char ret[PATH_MAX];
    int r = find_program(file, path, ret);
    cr_assert_eq(r, result, "%s in %s: %d", file, path, r);
    cr_assert_str_eq(ret, found);
    cr_assert_eq(r < 0, report.coverage == S5_UNKNOWN);
    cr_assert(report.path);
}

Test(program, search)
{
    cr_assert_eq(mkdir("a", 0755), 0);
    cr_assert_eq(mkdir("b", 0755), 0);
    cr_assert_eq(mkdir("a/tool", 0755), 0); /* a directory of that name is skipped */
    put("a/both", "#!/bin/sh", 9, 0644);
    put("b/both", "#!/bin/sh", 9, 0755);
    put("b/tool", "#!/bin/sh", 9, 0755);
    put("a/barred", "", 0, 0644);
    put("a/gone", "#!/none", 7, 0755);
    put("b/gone", "#!/bin/sh", 9, 0755);
    put("here", "", 0, 0755); /* a program of /bin/sh */
    expect_found("both", "a:b", 0, "b/both");
    expect_found("tool", "a/:b/", 0, "b//tool");
    expect_found("gone", "a:b", 0, "b/gone");
    expect_found("gone", "a", -ENOENT, "");
    expect_found("barred", "a:b:nowhere", -EACCES, "");
    expect_found("nothing", "a:b", -ENOENT, "");
    expect_found("nothing", "a/barred", -ENOTDIR, "");
    expect_found("here", "a::b", 0, "here");
    expect_found("here", "", 0, "here");
    expect_found("here", "a:", 0, "here");
    expect_found("here", "a:b", -ENOENT, "");
    expect_found("true", NULL, 0, "/bin/true");
    expect_found("x/y", "a", -ENOENT, "x/y");
    expect_found("./here", "a", 0, "./here");
    expect_found("", "a", -ENOENT, "");
    char name[PATH_MAX + 10];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    strcpy(name + sizeof name - 4, ":b");
    expect_found("both", name, 0, "b/both");
    name[NAME_MAX + 1] = '\0';
    expect_found(name, "a:b", -ENAMETOOLONG, "");
}

#ifdef __x86_64__
Test(program, search_of_what_exec_refuses)
{
    struct image i = image("/nowhere/ld-musl-x86_64.so.1");
    cr_assert_eq(mkdir("a", 0755), 0);
    cr_assert_eq(mkdir("b", 0755), 0);
    put("a/tool", &i, sizeof i, 0755);
    put("b/tool", "#!/bin/sh", 9, 0755);
    expect_found("tool", "a:b", 0, "b/tool"); /* as execvp(): the interpreter is missing */
    expect_found("tool", "a", -ENOENT, "");
    expect_found("a/tool", "b", 1, "a/tool"); /* the hint is of more use than ENOENT */
    i = image(NULL);
    put("a/tool", &i, sizeof i, 0755);
    expect_found("tool", "a:b", 1, "a/tool");
}
#endif

Test(program, a_search_goes_on)
{
    struct s5_program_search search;
    char buf[64];
    cr_assert_eq(mkdir("a", 0755), 0);
    cr_assert_eq(mkdir("b", 0755), 0);
    put("a/tool", "#!/bin/sh", 9, 0755);
    put("b/tool", "#!/bin/sh", 9, 0755);
    s5_program_search_begin(&search, "tool", "a:b", buf);
    cr_assert_eq(s5_program_search_next(&calls, &place, &search, &report), 0);
    cr_assert_str_eq(search.path, "a/tool");
    cr_assert_eq(s5_program_search_next(&calls, &place, &search, &report), 0);
    cr_assert_str_eq(search.path, "b/tool");
    search.denied = true; /* exec failed with EACCES */
    cr_assert_eq(s5_program_search_next(&calls, &place, &search, &report), -EACCES);
    cr_assert_null(search.path);
    cr_assert(s5_program_search_continues(EACCES) && s5_program_search_continues(ENOTDIR));
    cr_assert(!s5_program_search_continues(ETXTBSY) && !s5_program_search_continues(ENOEXEC));
}
