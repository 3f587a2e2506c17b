/* Program files that are made octet by octet in a temporary directory. */
#ifndef PROGRAM_FILES_H
#define PROGRAM_FILES_H

#include "program.h"
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OWN_LOADER "/lib64/ld-linux-x86-64.so.2"

static char dir[64];
static const struct s5_program_calls calls = {openat, pread, fstatat, close, fgetxattr, faccessat};
static struct s5_program_place place = {.dir = AT_FDCWD};
static struct s5_program_report report;

static void enter(void)
{
    strcpy(dir, "/tmp/test_program.XXXXXX");
    cr_assert(mkdtemp(dir));
    cr_assert_eq(chmod(dir, 0755), 0);
    cr_assert_eq(chdir(dir), 0);
}

static void leave(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(system(command), 0);
}

static void put(const char *name, const void *data, size_t n, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, n), (ssize_t)n);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

struct image {
    ElfW(Ehdr) eh;
    ElfW(Phdr) ph[2];
    char interp[96];
};

/* Returns an ELF file of a program with the interpreter INTERP (NULL: none). */
static struct image image(const char *interp)
{
    extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
    struct image i;
    memset(&i, 0, sizeof i);
    memcpy(i.eh.e_ident, __ehdr_start.e_ident, EI_NIDENT);
    i.eh.e_type = ET_DYN;
    i.eh.e_machine = __ehdr_start.e_machine;
    i.eh.e_phoff = offsetof(struct image, ph);
    i.eh.e_phentsize = sizeof(ElfW(Phdr));
    i.eh.e_phnum = 2;
    i.ph[0].p_type = PT_LOAD;
    i.ph[1].p_type = interp ? PT_INTERP : PT_DYNAMIC;
    i.ph[1].p_offset = offsetof(struct image, interp);
    if (interp) {
        strcpy(i.interp, interp);
        i.ph[1].p_filesz = strlen(interp) + 1;
    }
    return i;
}

static int check(const char *path)
{
    memset(&report, 0x55, sizeof report);
    return s5_program_check(&calls, &place, AT_FDCWD, path, &report);
}

static void expect(const char *path, enum s5_coverage coverage)
{
    int r = check(path);
    cr_assert_eq(report.coverage, coverage, "%s: %d, %s: %s", path, report.coverage, report.path,
                 report.detail);
    cr_assert_eq(r < 0, coverage == S5_UNKNOWN);
    cr_assert_eq(r == 0, coverage == S5_COVERED);
    cr_assert_eq(r > 0, *s5_program_hint(coverage) != '\0');
}

#endif
