/* Small text files of words, read line by line without stdio and without malloc. */
#ifndef S5_WORD_READER_H
#define S5_WORD_READER_H

#include <stdbool.h>
#include <stddef.h>

/* Gets every word of a line in turn (AT 0, 1, ...); true ends the walk. */
typedef bool s5_word_reader_fn(void *user, unsigned at, const char *word, size_t len);

/* Every word of the file PATH, '#' beginning a comment. True when EACH ended the walk; false at
 * the end, and where there is no file. Lines of 4 KiB and more are passed over. */
bool s5_word_reader_each(const char *path, s5_word_reader_fn *each, void *user);

#endif
