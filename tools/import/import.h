/* --import: configurations of other programs, put in the words of ours. */
#ifndef TOOLS_IMPORT_H
#define TOOLS_IMPORT_H

enum import_kind {
    IMPORT_UNKNOWN,
    IMPORT_PROXYCHAINS,
    IMPORT_DANTE,
    IMPORT_TORSOCKS,
    IMPORT_TSOCKS,
};

/* Whose file PATH with the content TEXT is: by its name where that tells, else by the words in it.
 */
enum import_kind import_guess(const char *path, const char *text);

/* TEXT, NUL-terminated, as a file socks5.conf(5) describes, in memory of its own for the caller to
 * wipe and free; it is one that can be loaded, whatever TEXT is. SOURCE names the file in a
 * comment. What has no equivalent stands in comments at its beginning, and RET_LOST (may be NULL)
 * tells how many they are. A destination that might have gone by a server never becomes direct: a
 * rule that cannot be told denies. NULL: no memory, more rules or servers than a file may have,
 * or an unknown KIND. */
char *import_convert(enum import_kind kind, const char *source, const char *text, unsigned *ret_lost);

/* Print the file at PATH converted. The exit code: 0, or EXIT_OWN_ERROR after saying what is wrong.
 */
int import(const char *path);

#endif
