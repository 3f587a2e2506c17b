/* Theory of operation
 *
 * Only the dynamic loader reads LD_PRELOAD. A program is therefore covered exactly if the kernel starts the loader
 * this code was built for, and this loader trusts its environment. Both can be determined from the file:
 *
 * - A regular file that starts with "#!" is not run itself. Its interpreter is run and is checked instead, up to
 *   the kernel's own depth. What that runs is not followed: its own exec is checked again.
 * - An ELF file of the class, octet order and machine of the object that contains this code is run by the
 *   interpreter that PT_INTERP names, or by none if it has no such header.
 * - Go's programs, dynamically linked or not, make their system calls directly. Go's linker leaves a note in each.
 * - The preload object refuses io_uring. Programs that are linked with liburing may need it.
 * - The loader is in secure mode, in which it ignores LD_PRELOAD, if the new effective IDs differ from the old real
 *   ones, or if a file's capabilities give any to a user other than root.
 * - The loader must be able to open and to map the preload object, in the root directory and as the user of the
 *   program. Where it cannot, it starts the program without it.
 *
 * Headers are hostile input: each read states the length it needs, a short read means a malformed file, and offsets and
 * counts of the file are only used as arguments of pread(). The kernel does not run malformed files either. The
 * file may be replaced between the check and exec; the caller can only deceive itself that way. Callers have small
 * stacks: the check needs some 2 KiB. */
#include "program.h"

#include "error.h"
#include "log.h"
#include "needed.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD_MAX       S5_PROGRAM_HEAD_MAX
#define DEPTH_MAX      5               /* nested interpreters that the kernel follows */
#define PHDRS_MAX      65536           /* octets of program headers that the kernel accepts */
#define PHDRS_PIECE    8               /* of them read at a time */
#define NOTES_MAX      64              /* notes of a header that are read; Go's is the first or the second */
#define DEFAULT_SEARCH "/bin:/usr/bin" /* confstr(_CS_PATH), which is not async-signal-safe */

/* The ELF header of the object that contains this code, defined by the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static const char *const hints[] = {
    [S5_COVERED] = "",
    [S5_UNCOVERED_STATIC] = "see NAMESPACES in socksify(1), or use a dynamically linked build of it",
    [S5_UNCOVERED_SETUID] = "switch to the user it runs as first, then start it",
    [S5_UNCOVERED_CAPS] = "use a copy of it without file capabilities",
    [S5_UNCOVERED_ABI] = "use a build of it for this machine's own architecture",
    [S5_UNCOVERED_LIBC] = "see NAMESPACES in socksify(1), or use a build of it for this system's C library",
    [S5_UNCOVERED_GO] = "see NAMESPACES in socksify(1), or configure the server in it, most by HTTPS_PROXY",
    [S5_UNCOVERED_URING] = "allow network namespaces, or have it use another interface",
    [S5_UNCOVERED_UNREADABLE] = "make it readable so that it can be checked",
    [S5_UNCOVERED_OBJECT] = "mount its directory in that root directory, and make it readable for that user",
    [S5_UNKNOWN] = "",
};
_Static_assert(sizeof(hints) / sizeof(hints[0]) == S5_COVERAGES, "a hint for every coverage");

const char *s5_program_hint(enum s5_coverage coverage)
{
    return (unsigned)coverage < S5_COVERAGES ? hints[coverage] : "";
}

static const char *get_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- Checking a file ---- */

/* Whether the IDs that exec uses are the real ones, which access() checks. */
static bool has_real_ids(const struct s5_program_place *place)
{
    return place->real_ids || (getuid() == geteuid() && getgid() == getegid());
}

/* Returns 0 if PATH in DIR is a regular file that may be executed, else -errno like execve(). */
static int check_executable(const struct s5_program_calls *calls, const struct s5_program_place *place, int dir,
                            const char *path, struct stat *ret)
{
    if (calls->fstatat(dir, path ? path : "", ret, path ? 0 : AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISREG(ret->st_mode))
        return -EACCES;
    if (!path || !has_real_ids(place))
        return (ret->st_mode & 0111) ? 0 : -EACCES;
    return calls->faccessat(dir, path, X_OK, 0) < 0 ? -errno : 0;
}

static bool read_at(const struct s5_program_calls *calls, int fd, void *buf, size_t n, uint64_t at)
{
    if (at > (uint64_t)INT64_MAX - n)
        return false;
    size_t got = 0;
    while (got < n) {
        ssize_t r = calls->pread(fd, (char *)buf + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        got += (size_t)r;
    }
    return true;
}

static int set_coverage(struct s5_program_report *ret, enum s5_coverage coverage)
{
    ret->coverage = coverage;
    return coverage == S5_COVERED ? 0 : 1;
}

static int set_unknown(struct s5_program_report *ret, int error)
{
    ret->coverage = S5_UNKNOWN;
    return error;
}

/* The base name of the loader of the libc this code was built for. */
static const char *get_loader_name(void)
{
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__LP64__)
    return "ld-linux-x86-64.so.2";
#elif defined(__GLIBC__) && defined(__i386__)
    return "ld-linux.so.2";
#elif defined(__GLIBC__) && defined(__aarch64__) && defined(__AARCH64EL__)
    return "ld-linux-aarch64.so.1";
#elif defined(__GLIBC__) && defined(__arm__) && defined(__ARM_PCS_VFP)
    return "ld-linux-armhf.so.3";
#elif defined(__GLIBC__) && defined(__powerpc64__) && defined(_CALL_ELF) && _CALL_ELF == 2
    return "ld64.so.2";
#elif defined(__GLIBC__) && defined(__s390x__)
    return "ld64.so.1";
#elif defined(__GLIBC__) && defined(__riscv) && __riscv_xlen == 64 && defined(__riscv_float_abi_double)
    return "ld-linux-riscv64-lp64d.so.1";
#else
    /* The loader of this program, which also loaded this code. */
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t n = getauxval(AT_PHNUM);
    uintptr_t bias = 0;
    for (size_t i = 0; ph && i < n; i++) {
        if (ph[i].p_type == PT_PHDR)
            bias = (uintptr_t)ph - ph[i].p_vaddr;
        if (ph[i].p_type == PT_INTERP)
            return get_base_name((const char *)(bias + ph[i].p_vaddr));
    }
    return "";
#endif
}

/* Checks the program interpreter that PH names. A path that is too long for the kernel is no path. */
static int check_interpreter(const struct s5_program_calls *calls, const struct s5_program_place *place, int fd,
                             const ElfW(Phdr) * ph, struct s5_program_report *ret)
{
    char interp[HEAD_MAX];
    uint64_t n = ph->p_filesz, skipped = n > sizeof interp ? n - sizeof interp : 0;
    if (n < 2 || n > PATH_MAX || !read_at(calls, fd, interp, (size_t)(n - skipped), ph->p_offset + skipped) ||
        interp[n - skipped - 1] != '\0')
        return set_unknown(ret, -ENOEXEC);
    int result = 0;
    if (skipped == 0 && has_real_ids(place) && calls->faccessat(place->dir, interp, X_OK, 0) < 0)
        result = -errno;
    if (strcmp(get_base_name(interp), get_loader_name()) == 0)
        return result < 0 ? set_unknown(ret, result) : 0;
    s5_format(ret->detail, sizeof(ret->detail), "interpreter %s", interp);
    ret->fails = result < 0;
    return set_coverage(ret, S5_UNCOVERED_LIBC);
}

static uint64_t align_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Whether one of the notes of PH is Go's. */
static bool has_go_note(const struct s5_program_calls *calls, int fd, const ElfW(Phdr) * ph)
{
    static const char owner[4] = "Go";
    struct {
        ElfW(Nhdr) head;
        char owner[4];
    } note;
    uint64_t align = ph->p_align == 8 ? 8 : 4, at = 0;
    for (int i = 0; i < NOTES_MAX && at < ph->p_filesz && ph->p_filesz - at >= sizeof(note); i++) {
        if (!read_at(calls, fd, &note, sizeof(note), ph->p_offset + at))
            return false;
        if (note.head.n_namesz == sizeof(owner) && memcmp(note.owner, owner, sizeof(owner)) == 0)
            return true;
        at += align_up(align_up((uint64_t)sizeof(note.head) + note.head.n_namesz, align) + note.head.n_descsz, align);
    }
    return false;
}

static int check_headers(const struct s5_program_calls *calls, const struct s5_program_place *place, int fd,
                         const ElfW(Ehdr) * eh, struct s5_program_report *ret)
{
    ElfW(Phdr) ph[PHDRS_PIECE], interpreter = {.p_type = PT_NULL};
    size_t n = eh->e_phnum;
    bool go = false;
    if ((eh->e_type != ET_EXEC && eh->e_type != ET_DYN) || eh->e_phentsize != sizeof(ph[0]) || n == 0 ||
        n * sizeof(ph[0]) > PHDRS_MAX)
        return set_unknown(ret, -ENOEXEC);
    for (size_t at = 0; at < n; at += PHDRS_PIECE) {
        size_t piece = n - at < PHDRS_PIECE ? n - at : PHDRS_PIECE;
        uint64_t from = (uint64_t)eh->e_phoff + at * sizeof(ph[0]);
        if (!read_at(calls, fd, ph, piece * sizeof(ph[0]), from))
            return set_unknown(ret, -ENOEXEC);
        for (size_t i = 0; i < piece; i++) {
            if (ph[i].p_type == PT_INTERP && interpreter.p_type == PT_NULL)
                interpreter = ph[i];
            go = go || (ph[i].p_type == PT_NOTE && has_go_note(calls, fd, &ph[i]));
        }
    }
    if (interpreter.p_type == PT_INTERP) {
        int result = check_interpreter(calls, place, fd, &interpreter, ret);
        if (result == 0 && !go && s5_needed_has(calls, fd, eh->e_phoff, n, "liburing.so")) {
            s5_format(ret->detail, sizeof(ret->detail), "linked with liburing");
            return set_coverage(ret, S5_UNCOVERED_URING);
        }
        if (result != 0 || !go)
            return result;
        s5_format(ret->detail, sizeof(ret->detail), "made by Go, its system calls bypass the C library");
        return set_coverage(ret, S5_UNCOVERED_GO);
    }
    s5_format(ret->detail, sizeof(ret->detail), "statically linked");
    return set_coverage(ret, S5_UNCOVERED_STATIC);
}

static int check_elf(const struct s5_program_calls *calls, const struct s5_program_place *place, int fd,
                     const unsigned char *head, size_t len, struct s5_program_report *ret)
{
    const ElfW(Ehdr) *own = &__ehdr_start;
    ElfW(Ehdr) eh;
    if (len < EI_NIDENT + 4)
        return set_unknown(ret, -ENOEXEC);
    bool alike = head[EI_CLASS] == own->e_ident[EI_CLASS] && head[EI_DATA] == own->e_ident[EI_DATA];
    if (alike) {
        if (len < sizeof(eh))
            return set_unknown(ret, -ENOEXEC);
        memcpy(&eh, head, sizeof(eh));
        alike = eh.e_machine == own->e_machine;
    }
    if (!alike) {
        unsigned machine = head[EI_DATA] == ELFDATA2MSB ? head[18] * 256u + head[19] : head[19] * 256u + head[18];
        s5_format(ret->detail, sizeof(ret->detail), "%s-bit ELF file for machine %u",
                  head[EI_CLASS] == ELFCLASS32 ? "32" : "64", machine);
        return set_coverage(ret, S5_UNCOVERED_ABI);
    }
    return check_headers(calls, place, fd, &eh, ret);
}

/* Whether the loader would be in secure mode for the file ST, which is open as FD. */
static int check_privileges(const struct s5_program_calls *calls, const struct s5_program_place *place, int fd,
                            const struct stat *st, struct s5_program_report *ret)
{
    uid_t uid = (st->st_mode & S_ISUID) ? st->st_uid : place->real_ids ? getuid() : geteuid();
    bool setgid = (st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP);
    gid_t gid = setgid ? st->st_gid : place->real_ids ? getgid() : getegid();
    if (uid != getuid() || gid != getgid()) {
        s5_format(ret->detail, sizeof(ret->detail), "runs as user %u, group %u", (unsigned)uid, (unsigned)gid);
        return set_coverage(ret, S5_UNCOVERED_SETUID);
    }
    char value[64];
    if (getuid() == 0)
        return 0;
    ssize_t n = calls->fgetxattr(fd, "security.capability", value, sizeof(value));
    if (n > 0 || (n < 0 && errno == ERANGE)) {
        s5_format(ret->detail, sizeof(ret->detail), "has file capabilities");
        return set_coverage(ret, S5_UNCOVERED_CAPS);
    }
    return 0;
}

/* Stores the interpreter of the "#!" line of HEAD in RET, as the kernel reads it. Returns false if the kernel would
 * reject the line. */
static bool parse_script(const unsigned char *head, size_t len, char ret[HEAD_MAX])
{
    size_t end = 2;
    while (end < len && head[end] != '\n' && head[end] != '\0')
        end++;
    bool cut = end == len && len == HEAD_MAX;
    size_t at = 2;
    while (at < end && (head[at] == ' ' || head[at] == '\t'))
        at++;
    size_t first = at;
    while (at < end && head[at] != ' ' && head[at] != '\t')
        at++;
    if (at == first || (cut && at == end))
        return false;
    memcpy(ret, head + first, at - first);
    ret[at - first] = '\0';
    return true;
}

/* ---- The preload object ---- */

/* Returns 0 if the loader of a program in PLACE loads the object at PATH, else -errno. The loader runs with the real
 * IDs, those of access(). */
static int check_object(const struct s5_program_calls *calls, const struct s5_program_place *place, const char *path)
{
    const ElfW(Ehdr) *own = &__ehdr_start;
    ElfW(Ehdr) eh;
    if (calls->faccessat(place->dir, path, R_OK, 0) < 0)
        return -errno;
    int fd = calls->openat(place->dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return place->real_ids ? 0 : -errno;
    int result = 0;
    if (!read_at(calls, fd, &eh, sizeof(eh), 0) || memcmp(eh.e_ident, own->e_ident, EI_VERSION) != 0 ||
        eh.e_type != ET_DYN || eh.e_machine != own->e_machine)
        result = -ENOEXEC;
    else {
        void *page = mmap(NULL, sizeof(eh), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        if (page == MAP_FAILED)
            result = errno == ENOMEM ? 0 : -errno; /* the new program has memory of its own */
        else
            munmap(page, sizeof(eh));
    }
    calls->close(fd);
    return result;
}

/* ---- The whole check ---- */

/* Opens the file PATH in DIR, or DIR itself, for reading. Returns a descriptor or -errno. */
static int open_program(const struct s5_program_calls *calls, int dir, const char *path)
{
    char at[32];
    if (!path)
        s5_format(at, sizeof(at), "/proc/self/fd/%d", dir);
    int fd = calls->openat(path ? dir : AT_FDCWD, path ? path : at, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* Checks one file. Returns 0, 1 or -errno like s5_program_check(). For a script it returns 0, and stores its
 * interpreter in RET->interpreter. */
static int check_file(const struct s5_program_calls *calls, const struct s5_program_place *place, int dir,
                      const char *path, struct s5_program_report *ret, bool *ret_script)
{
    struct stat st;
    unsigned char head[HEAD_MAX];
    *ret_script = false;
    int result = check_executable(calls, place, dir, path, &st);
    if (result < 0)
        return set_unknown(ret, result);
    int fd = open_program(calls, dir, path);
    bool given = fd < 0 && !path && read_at(calls, dir, head, 1, 0); /* there may be no /proc */
    if (fd < 0 && !given) {
        s5_format(ret->detail, sizeof(ret->detail), "cannot be read: %s", s5_error_text(fd));
        return set_coverage(ret, S5_UNCOVERED_UNREADABLE);
    }
    int from = given ? dir : fd;
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(head) &&
           ((n = calls->pread(from, head + len, sizeof(head) - len, (off_t)len)) > 0 || (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    if (len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
        result = check_privileges(calls, place, from, &st, ret);
        if (result == 0)
            result = check_elf(calls, place, from, head, len, ret);
    } else if (len >= 2 && head[0] == '#' && head[1] == '!') {
        *ret_script = parse_script(head, len, ret->interpreter);
        result = *ret_script ? 0 : set_unknown(ret, -ENOEXEC);
    } else if (memchr(head, '\0', len) == NULL)
        result = set_unknown(ret, -ENOEXEC);
    else {
        s5_format(ret->detail, sizeof(ret->detail), "not an ELF file");
        result = set_coverage(ret, S5_UNCOVERED_ABI);
    }
    if (!given)
        calls->close(fd);
    return result;
}

int s5_program_check(const struct s5_program_calls *calls, const struct s5_program_place *place, int dir,
                     const char *path, struct s5_program_report *ret)
{
    bool script = true;
    int result = 0;
    ret->detail[0] = '\0';
    ret->fails = false;
    ret->path = path ? path : ret->interpreter;
    if (!path)
        s5_format(ret->interpreter, sizeof(ret->interpreter), "/proc/self/fd/%d", dir);
    for (int depth = 0; script; depth++) {
        if (depth > DEPTH_MAX)
            return set_unknown(ret, -ELOOP);
        result = check_file(calls, place, dir, path, ret, &script);
        if (result != 0)
            return result;
        if (script) {
            path = ret->path = ret->interpreter;
            dir = place->dir;
        }
    }
    result = place->object ? check_object(calls, place, place->object) : 0;
    if (result == 0)
        return set_coverage(ret, S5_COVERED);
    s5_format(ret->detail, sizeof(ret->detail), "the preload object %s: %s", place->object, s5_error_text(result));
    return set_coverage(ret, S5_UNCOVERED_OBJECT);
}

/* ---- Finding a command ---- */

bool s5_program_search_continues(int error)
{
    return error == EACCES || error == ENOENT || error == ESTALE || error == ENOTDIR || error == ENODEV ||
           error == ETIMEDOUT;
}

size_t s5_program_search_size(const char *file, const char *search)
{
    if (!search)
        search = DEFAULT_SEARCH;
    return strchr(file, '/') ? 1 : strnlen(search, PATH_MAX) + strnlen(file, NAME_MAX) + 2;
}

void s5_program_search_begin(struct s5_program_search *s, const char *file, const char *search, char *buf)
{
    *s = (struct s5_program_search){.file = file, .rest = search ? search : DEFAULT_SEARCH, .buf = buf};
}

/* Joins a directory of LEN octets and the file of S. */
static void join_path(struct s5_program_search *s, const char *directory, size_t len)
{
    memcpy(s->buf, directory, len);
    if (len > 0)
        s->buf[len++] = '/';
    memcpy(s->buf + len, s->file, strlen(s->file) + 1);
}

/* Checks the file that was found, or /bin/sh where that runs it. */
static int check_found(const struct s5_program_calls *calls, const struct s5_program_place *place,
                       const struct s5_program_search *s, struct s5_program_report *ret)
{
    int result = s5_program_check(calls, place, place->dir, s->path, ret);
    return result == -ENOEXEC ? s5_program_check(calls, place, AT_FDCWD, "/bin/sh", ret) : result;
}

static int end_search(struct s5_program_search *s, struct s5_program_report *ret, int error)
{
    s->rest = s->path = NULL;
    ret->path = s->file;
    ret->detail[0] = '\0';
    return set_unknown(ret, error);
}

int s5_program_search_next(const struct s5_program_calls *calls, const struct s5_program_place *place,
                           struct s5_program_search *s, struct s5_program_report *ret)
{
    int result = -ENOENT;
    if (s->rest && *s->file != '\0' && strchr(s->file, '/') != NULL) {
        s->rest = NULL;
        s->path = s->file;
        return check_found(calls, place, s, ret);
    }
    if (strlen(s->file) > NAME_MAX)
        return end_search(s, ret, -ENAMETOOLONG);
    while (s->rest && *s->file != '\0') {
        const char *directory = s->rest;
        size_t len = strcspn(directory, ":");
        s->rest = directory[len] == '\0' ? NULL : directory + len + 1;
        if (len >= PATH_MAX)
            continue;
        join_path(s, directory, len);
        s->path = s->buf;
        result = check_found(calls, place, s, ret);
        if (result >= 0 ? !ret->fails : !s5_program_search_continues(-result))
            return result;
        s->denied |= result == -EACCES;
    }
    return end_search(s, ret, s->denied ? -EACCES : result < 0 ? result : -ENOENT);
}
