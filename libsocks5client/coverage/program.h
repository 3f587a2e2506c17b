/* Determines from its file whether a program about to be executed loads the preload object.
 *
 * The functions may be used in a child of vfork() and in signal handlers: no malloc, no stdio, no state, no lock. */
#ifndef S5_PROGRAM_H
#define S5_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* close() is hooked in processes that use this code: the caller passes libc's own. Tests pass others for all. */
struct s5_program_calls {
    int (*openat)(int dir, const char *path, int flags, ...);
    ssize_t (*pread)(int fd, void *buf, size_t n, off_t at);
    int (*fstatat)(int dir, const char *path, struct stat *ret, int flags);
    int (*close)(int fd);
    ssize_t (*fgetxattr)(int fd, const char *name, void *value, size_t size);
    int (*faccessat)(int dir, const char *path, int mode, int flags);
};

/* Where the program starts: in this process, or in a child that posix_spawn() makes. */
struct s5_program_place {
    int dir;            /* relative paths begin here; AT_FDCWD: the current directory */
    bool real_ids;      /* its effective IDs are set to the real ones (POSIX_SPAWN_RESETIDS) */
    const char *object; /* the preload object that it has to load; NULL: this is not checked */
};

enum s5_coverage {
    S5_COVERED,
    /* No program interpreter: nothing reads LD_PRELOAD. This includes the loader itself run as a command, because
     * it runs static programs too. */
    S5_UNCOVERED_STATIC,
    S5_UNCOVERED_SETUID,     /* would run under other IDs than the caller's real ones (AT_SECURE) */
    S5_UNCOVERED_CAPS,       /* file capabilities (AT_SECURE) */
    S5_UNCOVERED_ABI,        /* an ELF class, octet order or machine other than this code's, or no ELF file */
    S5_UNCOVERED_LIBC,       /* its interpreter is not the loader this code was built for */
    S5_UNCOVERED_GO,         /* built by Go, whose runtime bypasses the C library with its system calls */
    S5_UNCOVERED_URING,      /* linked with liburing: the preload object refuses io_uring, and some can do without it */
    S5_UNCOVERED_UNREADABLE, /* may be executed but not read: cannot be checked */
    S5_UNCOVERED_OBJECT,     /* the preload object cannot be loaded where the program starts */
    S5_UNKNOWN,              /* exec itself is going to fail */
    S5_COVERAGES
};

#define S5_PROGRAM_DETAIL_MAX 160
#define S5_PROGRAM_HEAD_MAX   256 /* octets of a file that the kernel reads (BINPRM_BUF_SIZE) */

struct s5_program_report {
    enum s5_coverage coverage;
    bool fails;                            /* not covered, but exec is going to fail with ENOENT or EACCES */
    const char *path;                      /* the file that decides: the program, or INTERPRETER for a script */
    char interpreter[S5_PROGRAM_HEAD_MAX]; /* storage for PATH */
    char detail[S5_PROGRAM_DETAIL_MAX];    /* what was found there: "interpreter /lib/ld-musl..." */
};

/* Checks PATH as execveat() would run it in PLACE. DIR: where a relative PATH begins; with PATH NULL, the descriptor of
 * the file itself. Scripts are followed to their interpreter. RET is always filled in, and may refer to PATH.
 * Returns 0: covered; 1: not covered, to be refused; -errno: S5_UNKNOWN, exec is going to fail, most likely with
 * this error. */
int s5_program_check(const struct s5_program_calls *calls, const struct s5_program_place *place, int dir,
                     const char *path, struct s5_program_report *ret);

/* A search for FILE as execvp() makes it. */
struct s5_program_search {
    const char *file;
    const char *rest; /* what is left to be searched of PATH; NULL: nothing */
    const char *path; /* the file that was found: FILE itself if it contains a slash; NULL: none */
    char *buf;        /* storage for it */
    bool denied;      /* a file was found before that must not be executed */
};

/* The octets of BUF that a search for FILE in SEARCH needs. */
size_t s5_program_search_size(const char *file, const char *search);
/* Begins a search for FILE in SEARCH (a value of PATH; NULL: the system's default). */
void s5_program_search_begin(struct s5_program_search *s, const char *file, const char *search, char *buf);
/* Finds and checks the next file that execvp() would run. Returns the result of s5_program_check() for it, or -errno as
 * execvp() reports it, with S->path NULL, if there is none. What has no "#!" line and is no ELF file is checked as a
 * program of /bin/sh: exec fails with ENOEXEC then, and execvp() runs that shell. */
int s5_program_search_next(const struct s5_program_calls *calls, const struct s5_program_place *place,
                           struct s5_program_search *s, struct s5_program_report *ret);
/* Whether execvp() continues its search after exec failed with ERROR. */
bool s5_program_search_continues(int error);

/* Whether a network namespace can run a program that is not covered: it must keep the IDs and rights of its caller. */
static inline bool s5_program_is_reachable(enum s5_coverage coverage)
{
    return coverage != S5_COVERED && coverage != S5_UNKNOWN && coverage != S5_UNCOVERED_SETUID &&
           coverage != S5_UNCOVERED_CAPS;
}

/* Whether the preload object covers a program that is better run in a network namespace. */
static inline bool s5_program_is_limited(enum s5_coverage coverage)
{
    return coverage == S5_UNCOVERED_URING;
}

/* What the user can do about it, in one line; "" if nothing is wrong. Static storage. */
const char *s5_program_hint(enum s5_coverage coverage);

#endif
