/* Determines from its file whether a program about to be executed loads the preload object.
 *
 * The functions may be used in a child of vfork() and in signal handlers: no malloc, no stdio, no state, no lock. */
#ifndef S5_PROGRAM_H
#define S5_PROGRAM_H

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Some of these functions are hooked in the processes that use this code: the caller passes libc's own. */
struct s5_program_calls {
    int (*open)(const char *path, int flags, ...);
    ssize_t (*pread)(int fd, void *buf, size_t n, off_t at);
    int (*fstat)(int fd, struct stat *ret);
    int (*close)(int fd);
    ssize_t (*getxattr)(const char *path, const char *name, void *value, size_t size);
    int (*access)(const char *path, int mode);
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
    S5_UNCOVERED_UNREADABLE, /* may be executed but not read: cannot be checked */
    S5_UNKNOWN,              /* exec itself is going to fail */
    S5_COVERAGES
};

#define S5_PROGRAM_DETAIL_MAX 160

struct s5_program_report {
    enum s5_coverage coverage;
    char path[PATH_MAX];                /* the file that decides: the program or, for a script, its interpreter */
    char detail[S5_PROGRAM_DETAIL_MAX]; /* what was found there: "interpreter /lib/ld-musl..." */
    char scratch[PATH_MAX];             /* used by the check: callers have small stacks */
};

/* Checks PATH as execve() would run it with the IDs of this process. Scripts are followed to their interpreter, and
 * "#!/usr/bin/env NAME" to NAME in SEARCH (a value of PATH; NULL: the system's default). RET is always filled in.
 * Returns 0: covered; 1: not covered, to be refused; -errno: S5_UNKNOWN, exec is going to fail, most likely with
 * this error. */
int s5_program_check(const struct s5_program_calls *calls, const char *path, const char *search,
                     struct s5_program_report *ret);

/* Finds the file that execvp() would run for FILE under SEARCH (as above) and writes its path to RET of SIZE
 * octets: FILE itself if it contains a slash, else the first regular file that is executable. An empty element of
 * SEARCH is the current directory. Returns 0, -ENOENT, -EACCES (a file exists but is not executable) or
 * -ENAMETOOLONG. RET is overwritten in any case. */
int s5_program_find(const struct s5_program_calls *calls, const char *file, const char *search, char *ret, size_t size);

/* What the user can do about it, in one line; "" if nothing is wrong. Static storage. */
const char *s5_program_hint(enum s5_coverage coverage);

#endif
