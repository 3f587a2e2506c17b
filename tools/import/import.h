/* --import: converts configurations of other programs. */
#ifndef TOOLS_IMPORT_H
#define TOOLS_IMPORT_H

enum import_kind {
    IMPORT_UNKNOWN,
    IMPORT_PROXYCHAINS,
    IMPORT_DANTE,
    IMPORT_TORSOCKS,
    IMPORT_TSOCKS,
};

/* Returns the kind of the file PATH with the content TEXT: by its name if possible, else by the words in it. */
enum import_kind import_guess(const char *path, const char *text);

/* Converts TEXT, NUL-terminated, to a file as socks5.conf(5) describes. Returns new memory, which the caller overwrites
 * and frees. The file can be loaded, whatever TEXT is. SOURCE is the name of the original in a comment.
 *
 * What has no equivalent is listed in comments at the beginning. Their number is stored in RET_LOST, which may be NULL.
 * A destination that might have used a server never becomes direct: a rule that cannot be converted denies.
 *
 * Returns NULL if there is no memory, if there are more rules or servers than a file may have, or if KIND is
 * unknown. */
char *import_convert(enum import_kind kind, const char *source, const char *text, unsigned *ret_lost);

/* Prints the file PATH converted. Returns the exit code: 0, or EXIT_OWN_ERROR after it prints what is wrong. */
int import(const char *path);

#endif
