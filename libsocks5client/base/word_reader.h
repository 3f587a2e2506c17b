/* Reads small text files word by word, without stdio and without malloc. */
#ifndef S5_WORD_READER_H
#define S5_WORD_READER_H

#include <stdbool.h>
#include <stddef.h>

/* Called with each word of a line in order (AT 0, 1, ...). Returns true to stop. */
typedef bool s5_word_reader_fn(void *user, unsigned at, const char *word, size_t len);

/* Calls EACH for every word of the file at PATH. '#' begins a comment. Lines of 4 KiB and more are skipped. Returns
 * true if EACH returned true; false at the end of the file and if there is no file. */
bool s5_word_reader_each(const char *path, s5_word_reader_fn *each, void *user);

/* Returns true for the second word of a line whose first word is KEYWORD. To be called for every word. *STATE is the
 * caller's: false at first. */
bool s5_word_reader_follows(bool *state, const char *keyword, unsigned at, const char *word, size_t len);

#endif
