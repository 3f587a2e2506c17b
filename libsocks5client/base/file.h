/* Small files and their names. */
#ifndef S5_FILE_H
#define S5_FILE_H

#include <stddef.h>

/* The longest path that is dealt with, with its NUL. */
#define S5_FILE_PATH 4096

/* What a file held, in memory of its own: LEN octets, none of them NUL, and zeros behind them. */
struct s5_file {
    char *text;
    size_t len, size; /* octets of the file; of the mapping */
    unsigned mode;    /* permissions */
};

/* The regular file at PATH, of MAX octets at most, with at least ROOM zeros (one or more) behind.
 * 0, or -errno and RET_WHY, a text without the path. */
int s5_file_read(struct s5_file *ret, const char *path, size_t max, size_t room, const char **ret_why);

/* Wipes it. */
void s5_file_free(struct s5_file *file);

/* "~/" becomes HOME (which may be NULL or relative: a failure). 0, or -errno and RET_WHY. */
int s5_file_expand(char ret[S5_FILE_PATH], const char *path, const char *home, const char **ret_why);

/* The same, and what is relative is so to the directory of the file BESIDE; the result is absolute.
 */
int s5_file_beside(char ret[S5_FILE_PATH], const char *path, const char *beside, const char *home,
                   const char **ret_why);

#endif
