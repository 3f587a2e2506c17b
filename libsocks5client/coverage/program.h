/* Whether a program about to be executed loads the preload object, told from its file.
 *
 * Usable in a child of vfork and in signal handlers: no malloc, no stdio, no state, no lock. */
#ifndef S5_PROGRAM_H
#define S5_PROGRAM_H

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Some of these are hooked in the processes this runs in: the caller gives libc's own. */
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
    S5_UNCOVERED_STATIC,     /* no program interpreter: nothing reads LD_PRELOAD. The loader itself,
                          * run as a command, counts: it runs static programs too */
    S5_UNCOVERED_SETUID,     /* would run under other ids than the caller's real ones (AT_SECURE) */
    S5_UNCOVERED_CAPS,       /* file capabilities (AT_SECURE) */
    S5_UNCOVERED_ABI,        /* an ELF class, octet order or machine other than ours, or no ELF file */
    S5_UNCOVERED_LIBC,       /* its interpreter is not the loader we were built for */
    S5_UNCOVERED_GO,         /* built by Go, whose runtime makes its system calls past the C library */
    S5_UNCOVERED_UNREADABLE, /* may be executed but not read: cannot be judged */
    S5_UNKNOWN,              /* exec itself is going to fail */
    S5_COVERAGES
};

#define S5_PROGRAM_DETAIL_MAX 160

struct s5_program_report {
    enum s5_coverage coverage;
    char path[PATH_MAX];                /* the file that decides: the program or, for a script,
                                         * the interpreter that runs it */
    char detail[S5_PROGRAM_DETAIL_MAX]; /* what was found there: "interpreter /lib/ld-musl..." */
    char scratch[PATH_MAX];             /* of the check's: callers have small stacks */
};

/* Judge PATH as execve would run it by the ids of this process. Scripts are followed to their
 * interpreter, and "#!/usr/bin/env NAME" on to NAME in SEARCH (a value of PATH; NULL: the system's
 * default). RET is always filled in.
 * 0: covered. 1: not covered, to be refused. -errno: S5_UNKNOWN, exec is going to fail, most likely
 * with that. */
int s5_program_check(const struct s5_program_calls *calls, const char *path, const char *search,
                     struct s5_program_report *ret);

/* The file execvp would run for FILE under SEARCH (as above) into RET: FILE itself where it has a
 * slash; else the first that is a regular file and executable, an empty element being the current
 * directory. 0, -ENOENT, -EACCES (there was one, but not executable), -ENAMETOOLONG; RET is overwritten in
 * any case. */
int s5_program_find(const struct s5_program_calls *calls, const char *file, const char *search, char *ret, size_t size);

/* What a person may do about it, in one line; "" where nothing is wrong. */
const char *s5_program_hint(enum s5_coverage coverage);

#endif
