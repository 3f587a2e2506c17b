/* Text files that are read word by word and line by line. */
#include "word_reader.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char seen[256];

static bool record_word(void *user, unsigned at, const char *word, size_t len)
{
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof seen - used, "%u:%.*s ", at, (int)len, word);
    return user && strlen(user) == len && memcmp(user, word, len) == 0;
}

/* Records the words of a file with the text TEXT, up to the word LAST. */
static bool read_words(const char *text, char *last)
{
    char path[] = "/tmp/words-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    seen[0] = 0;
    bool found = s5_word_reader_each(path, record_word, last);
    unlink(path);
    return found;
}

Test(word_reader, words_of_lines)
{
    char last[] = "three";
    cr_assert_not(read_words("one two # no\n\n  a\tb\nlast", NULL));
    cr_assert_str_eq(seen, "0:one 1:two 0:a 1:b 0:last ");
    cr_assert(read_words("one\ntwo three four\nfive\n", last));
    cr_assert_str_eq(seen, "0:one 0:two 1:three ");
    cr_assert_not(s5_word_reader_each("/nowhere/at/all", record_word, NULL));
}

Test(word_reader, lines_that_are_too_long_are_skipped)
{
    static char text[3 * 4096];
    memset(text, 'x', 9000);
    strcpy(text + 9000, "\nafter it\n");
    cr_assert_not(read_words(text, NULL));
    cr_assert_str_eq(seen, "0:after 1:it ");
    text[9000] = 'x'; /* the last line, without a newline */
    text[9006] = 0;
    cr_assert_not(read_words(text, NULL));
    cr_assert_str_eq(seen, "");
}

/* Only the second word of a line whose first word is the keyword. */
Test(word_reader, a_word_follows_a_keyword)
{
    bool state = false;
    cr_assert_not(s5_word_reader_follows(&state, "key", 1, "a", 1), "no first word yet");
    cr_assert_not(s5_word_reader_follows(&state, "key", 0, "key", 3));
    cr_assert(s5_word_reader_follows(&state, "key", 1, "a", 1));
    cr_assert_not(s5_word_reader_follows(&state, "key", 2, "b", 1));
    cr_assert_not(s5_word_reader_follows(&state, "key", 0, "keys", 4));
    cr_assert_not(s5_word_reader_follows(&state, "key", 1, "a", 1));
    cr_assert_not(s5_word_reader_follows(&state, "key", 0, "ke", 2));
    cr_assert_not(s5_word_reader_follows(&state, "key", 1, "a", 1));
}
