/* Reading small files; expanding their names; finding the programs of this package. */
#ifndef S5_FILE_H
#define S5_FILE_H

#include <stddef.h>

/* The longest path supported, with its NUL. */
#define S5_FILE_PATH 4096

/* The content of a file in memory of its own: LEN octets, none of them NUL, followed by zeros. */
struct s5_file {
    char *text;
    size_t len, size; /* octets of the file; of the mapping */
    unsigned mode;    /* permissions */
};

/* Reads the regular file at PATH, of at most MAX octets, followed by at least PADDING zeros (one or more). Returns 0,
 * or -errno with a text without the path in RET_WHY. */
int s5_file_read(struct s5_file *ret, const char *path, size_t max, size_t padding, const char **ret_why);

/* Wipes and unmaps FILE's content. */
void s5_file_free(struct s5_file *file);

/* Replaces "~/" by HOME. HOME may be NULL or relative, which is an error if it is needed. Returns 0, or -errno with
 * a text in RET_WHY. */
int s5_file_expand(char ret[S5_FILE_PATH], const char *path, const char *home, const char **ret_why);

/* Like s5_file_expand(), and resolves a relative PATH against the directory of the file BESIDE. The result is
 * absolute. */
int s5_file_beside(char ret[S5_FILE_PATH], const char *path, const char *beside, const char *home,
                   const char **ret_why);

/* Stores in RET, of SIZE octets, the path of a program of this package: BUILT, a path behind the directory of the file
 * OBJECT, in a build directory; else INSTALLED. OBJECT may be NULL. Returns 0, or -ENOENT: it cannot be executed, or
 * its path is too long. Changes errno. */
int s5_file_find_program(char *ret, size_t size, const char *object, const char *built, const char *installed);

#endif
