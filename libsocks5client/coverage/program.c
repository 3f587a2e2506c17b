/* Theory of operation
 *
 * Only the dynamic loader reads LD_PRELOAD. A program is therefore covered exactly if the kernel starts the loader
 * this code was built for, and this loader trusts its environment. Both can be determined from the file:
 *
 * - A regular file that starts with "#!" is not run itself. Its interpreter is run and is checked instead, up to
 *   the kernel's own depth. Text without "#!" is run by /bin/sh, as execvp does.
 * - "#! env NAME" is followed to NAME, so that a refusal comes before anything has started. env is a covered
 *   program then and its own exec is checked again: a line that this code cannot parse opens no gap.
 * - An ELF file of the class, octet order and machine of the object that contains this code is run by the
 *   interpreter that PT_INTERP names, or by none if it has no such header.
 * - Go's programs, dynamically linked or not, make their system calls directly. Go's linker leaves a note in each.
 * - The loader is in secure mode, in which it ignores LD_PRELOAD, if the new effective IDs differ from the old real
 *   ones, or if a file's capabilities give any to a user other than root.
 *
 * Headers are hostile input: each read states the length it needs, a short read means a malformed file, and offsets and
 * counts of the file are only used as arguments of pread(). The kernel does not run malformed files either. The
 * file may be replaced between the check and exec; the caller can only deceive itself that way. */
#include "program.h"

#include "log.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define HEAD_MAX       256             /* octets of a file that the kernel reads (BINPRM_BUF_SIZE) */
#define DEPTH_MAX      5               /* nested interpreters that the kernel follows */
#define PHDRS_MAX      65536           /* octets of program headers that the kernel accepts */
#define PHDRS_PIECE    8               /* of them read at a time */
#define NOTES_MAX      1024            /* octets read of a header's notes; Go's has some 100 */
#define DEFAULT_SEARCH "/bin:/usr/bin" /* confstr(_CS_PATH), which is not async-signal-safe */

/* The ELF header of the object that contains this code, defined by the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static const char *const hints[] = {
    [S5_COVERED] = "",
    [S5_UNCOVERED_STATIC] = "use a dynamically linked build of it",
    [S5_UNCOVERED_SETUID] = "switch to the user it runs as first, then start it",
    [S5_UNCOVERED_CAPS] = "use a copy of it without file capabilities",
    [S5_UNCOVERED_ABI] = "use a build of it for this machine's own architecture",
    [S5_UNCOVERED_LIBC] = "use a build of it for this system's C library",
    [S5_UNCOVERED_GO] = "configure the server in the program: most accept HTTPS_PROXY=socks5://HOST:PORT",
    [S5_UNCOVERED_UNREADABLE] = "make it readable so that it can be checked",
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

/* ---- Finding a command ---- */

/* Returns 0 if PATH is a regular file that may be executed, else -errno like execve(). */
static int check_executable(const struct s5_program_calls *calls, const char *path, struct stat *ret)
{
    int fd = calls->open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = calls->fstat(fd, ret) < 0 ? -errno : 0;
    calls->close(fd);
    if (result < 0)
        return result;
    if (!S_ISREG(ret->st_mode))
        return -EACCES;
    /* access() checks the real IDs, execve() the effective ones. */
    if (getuid() != geteuid() || getgid() != getegid())
        return (ret->st_mode & 0111) ? 0 : -EACCES;
    return calls->access(path, X_OK) < 0 ? -errno : 0;
}

/* Whether ERROR, from a check of a file, means that exec fails too. It does not if, for example, this process has
 * no descriptor left. */
static bool is_exec_error(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -ELOOP || error == -ENAMETOOLONG ||
           error == -EFAULT;
}

/* Joins DIR (LEN octets) and FILE in RET. Returns false if they do not fit. */
static bool join_path(char *ret, size_t size, const char *dir, size_t len, const char *file)
{
    size_t file_len = strlen(file);
    size_t slash = len > 0 && dir[len - 1] != '/';
    if (len >= size || file_len >= size - len - slash)
        return false;
    memcpy(ret, dir, len);
    if (slash)
        ret[len] = '/';
    memcpy(ret + len + slash, file, file_len + 1);
    return true;
}

int s5_program_find(const struct s5_program_calls *calls, const char *file, const char *search, char *ret, size_t size)
{
    if (*file == '\0')
        return -ENOENT;
    if (strchr(file, '/') != NULL)
        return join_path(ret, size, "", 0, file) ? 0 : -ENAMETOOLONG;
    if (strlen(file) > NAME_MAX)
        return -ENAMETOOLONG;
    if (!search)
        search = DEFAULT_SEARCH;
    int result = -ENOENT;
    for (;;) {
        size_t len = strcspn(search, ":");
        struct stat st;
        if (join_path(ret, size, search, len, file)) {
            int error = check_executable(calls, ret, &st);
            /* A file that cannot be checked is refused by s5_program_check(). */
            if (error == 0 || !is_exec_error(error))
                return 0;
            if (error == -EACCES)
                result = -EACCES;
        } else if (len + strlen(file) + 1 < PATH_MAX)
            return -ENAMETOOLONG; /* the file may be there */
        if (search[len] == '\0')
            return result;
        search += len + 1;
    }
}

/* ---- Checking a file ---- */

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

static int check_interpreter(const struct s5_program_calls *calls, int fd, const ElfW(Phdr) * ph,
                             struct s5_program_report *ret)
{
    char *interp = ret->scratch;
    if (ph->p_filesz < 2 || ph->p_filesz > sizeof(ret->scratch) ||
        !read_at(calls, fd, interp, (size_t)ph->p_filesz, ph->p_offset) || interp[ph->p_filesz - 1] != '\0')
        return set_unknown(ret, -ENOEXEC);
    s5_format(ret->detail, sizeof(ret->detail), "interpreter %s", interp);
    bool own = strcmp(get_base_name(interp), get_loader_name()) == 0;
    return set_coverage(ret, own ? S5_COVERED : S5_UNCOVERED_LIBC);
}

static uint64_t align_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Whether one of the notes of PH is Go's. */
static bool has_go_note(const struct s5_program_calls *calls, int fd, const ElfW(Phdr) * ph, char notes[NOTES_MAX])
{
    static const char owner[4] = "Go";
    size_t n = ph->p_filesz < NOTES_MAX ? (size_t)ph->p_filesz : NOTES_MAX;
    uint64_t align = ph->p_align == 8 ? 8 : 4;
    ElfW(Nhdr) note;
    if (!read_at(calls, fd, notes, n, ph->p_offset))
        return false;
    for (uint64_t at = 0; at < n && n - at >= sizeof(note) + sizeof(owner);) {
        memcpy(&note, notes + at, sizeof(note));
        if (note.n_namesz == sizeof(owner) && memcmp(notes + at + sizeof(note), owner, sizeof(owner)) == 0)
            return true;
        at += align_up(align_up((uint64_t)sizeof(note) + note.n_namesz, align) + note.n_descsz, align);
    }
    return false;
}

static int check_headers(const struct s5_program_calls *calls, int fd, const ElfW(Ehdr) * eh,
                         struct s5_program_report *ret)
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
            go = go || (ph[i].p_type == PT_NOTE && has_go_note(calls, fd, &ph[i], ret->scratch));
        }
    }
    if (interpreter.p_type == PT_INTERP) {
        int result = check_interpreter(calls, fd, &interpreter, ret);
        if (result != 0 || !go)
            return result;
        s5_format(ret->detail, sizeof(ret->detail), "made by Go, its system calls bypass the C library");
        return set_coverage(ret, S5_UNCOVERED_GO);
    }
    s5_format(ret->detail, sizeof(ret->detail), "statically linked");
    return set_coverage(ret, S5_UNCOVERED_STATIC);
}

static int check_elf(const struct s5_program_calls *calls, int fd, const unsigned char *head, size_t len,
                     struct s5_program_report *ret)
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
    return check_headers(calls, fd, &eh, ret);
}

/* Whether the loader would be in secure mode for the file ST at ret->path. */
static int check_privileges(const struct s5_program_calls *calls, const struct stat *st, struct s5_program_report *ret)
{
    uid_t uid = (st->st_mode & S_ISUID) ? st->st_uid : geteuid();
    bool setgid = (st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP);
    gid_t gid = setgid ? st->st_gid : getegid();
    if (uid != getuid() || gid != getgid()) {
        s5_format(ret->detail, sizeof(ret->detail), "runs as user %u, group %u", (unsigned)uid, (unsigned)gid);
        return set_coverage(ret, S5_UNCOVERED_SETUID);
    }
    char value[64];
    if (getuid() == 0)
        return 0;
    ssize_t n = calls->getxattr(ret->path, "security.capability", value, sizeof(value));
    if (n > 0 || (n < 0 && errno == ERANGE)) {
        s5_format(ret->detail, sizeof(ret->detail), "has file capabilities");
        return set_coverage(ret, S5_UNCOVERED_CAPS);
    }
    return 0;
}

/* ---- Scripts ---- */

struct script {
    char interpreter[HEAD_MAX]; /* "" if the file is not a script */
    char argument[HEAD_MAX];    /* the rest of the line without blanks around it; or "" */
};

/* Splits the "#!" line of HEAD as the kernel does. Returns false if the kernel would reject it. */
static bool parse_script(const unsigned char *head, size_t len, struct script *ret)
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
    memcpy(ret->interpreter, head + first, at - first);
    ret->interpreter[at - first] = '\0';
    while (at < end && (head[at] == ' ' || head[at] == '\t'))
        at++;
    while (end > at && (head[end - 1] == ' ' || head[end - 1] == '\t'))
        end--;
    memcpy(ret->argument, head + at, end - at);
    ret->argument[end - at] = '\0';
    return true;
}

static size_t get_word_len(const char *s)
{
    return strcspn(s, " \t");
}

/* The command that env runs for its only argument ARGUMENT, cut out in place. NULL if that takes more than this
 * parser supports. */
static char *find_env_command(char *argument)
{
    bool split = strncmp(argument, "-S", 2) == 0;
    char *at = argument;
    if (split) {
        for (at += 2; *at == ' ' || *at == '\t' || memchr(at, '=', get_word_len(at));) {
            size_t len = get_word_len(at);
            at += len > 0 ? len : 1;
        }
        at[get_word_len(at)] = '\0';
        if (strpbrk(at, "\"'\\$") != NULL)
            return NULL;
    }
    return *at == '\0' || *at == '-' || strchr(at, '=') ? NULL : at;
}

/* ---- The whole check ---- */

/* Checks the file ret->path. Returns 0, 1 or -errno like s5_program_check(). For a script it sets RET_SCRIPT and
 * returns 0. */
static int check_file(const struct s5_program_calls *calls, struct s5_program_report *ret, struct script *ret_script)
{
    struct stat st;
    unsigned char head[HEAD_MAX];
    ret_script->interpreter[0] = '\0';
    int result = check_executable(calls, ret->path, &st);
    if (result < 0 && is_exec_error(result))
        return set_unknown(ret, result);
    int fd = calls->open(ret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (result < 0 || fd < 0) {
        if (fd >= 0)
            calls->close(fd);
        s5_format(ret->detail, sizeof(ret->detail), "cannot be read");
        return set_coverage(ret, S5_UNCOVERED_UNREADABLE);
    }
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(head) &&
           ((n = calls->pread(fd, head + len, sizeof(head) - len, (off_t)len)) > 0 || (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    if (len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
        result = check_privileges(calls, &st, ret);
        if (result == 0)
            result = check_elf(calls, fd, head, len, ret);
    } else if (len >= 2 && head[0] == '#' && head[1] == '!') {
        if (!parse_script(head, len, ret_script))
            result = set_unknown(ret, -ENOEXEC);
    } else if (memchr(head, '\0', len) == NULL) {
        strcpy(ret_script->interpreter, "/bin/sh");
        ret_script->argument[0] = '\0';
    } else {
        s5_format(ret->detail, sizeof(ret->detail), "not an ELF file");
        result = set_coverage(ret, S5_UNCOVERED_ABI);
    }
    calls->close(fd);
    return result;
}

int s5_program_check(const struct s5_program_calls *calls, const char *path, const char *search,
                     struct s5_program_report *ret)
{
    ret->detail[0] = '\0';
    ret->path[0] = '\0';
    if (!join_path(ret->path, sizeof(ret->path), "", 0, path))
        return set_unknown(ret, -ENAMETOOLONG);
    char argument[HEAD_MAX] = ""; /* of the script that led here */
    for (int depth = 0; depth <= DEPTH_MAX; depth++) {
        struct script script;
        int result = check_file(calls, ret, &script);
        if (result != 0)
            return result;
        if (script.interpreter[0] != '\0') {
            memcpy(ret->path, script.interpreter, sizeof(script.interpreter));
            memcpy(argument, script.argument, sizeof(argument));
            continue;
        }
        /* The program is covered. If it is env, continue with the command it runs. */
        char *command = strcmp(get_base_name(ret->path), "env") == 0 ? find_env_command(argument) : NULL;
        if (!command || s5_program_find(calls, command, search, ret->scratch, sizeof(ret->scratch)) < 0)
            return set_coverage(ret, S5_COVERED);
        memcpy(ret->path, ret->scratch, strlen(ret->scratch) + 1);
        argument[0] = '\0';
    }
    return set_unknown(ret, -ELOOP);
}
