/* The file is opened and read with syscall() by number, so that no hook of this library is called. */
#include "word_reader.h"
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool walk_line(const char *line, size_t len, s5_word_reader_fn *each, void *user)
{
    unsigned at = 0;
    for (size_t i = 0; i < len && line[i] != '#';) {
        size_t begin = i;
        while (i < len && line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '#')
            i++;
        if (i > begin && each(user, at++, line + begin, i - begin))
            return true;
        if (i < len && line[i] != '#')
            i++;
    }
    return false;
}

bool s5_word_reader_each(const char *path, s5_word_reader_fn *each, void *user)
{
    char text[4096];
    size_t have = 0;
    bool found = false;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_overlong = false; /* the current text is the rest of a line that was too long */
    while (!found) {
        long n = syscall(SYS_read, fd, text + have, sizeof text - have);
        if (n <= 0)
            break;
        have += (size_t)n;
        char *line = text, *end;
        while (!found && (end = memchr(line, '\n', have - (size_t)(line - text)))) {
            found = !is_overlong && walk_line(line, (size_t)(end - line), each, user);
            is_overlong = false;
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
        if (have == sizeof text) {
            is_overlong = true;
            have = 0;
        }
    }
    if (!found && have && !is_overlong)
        found = walk_line(text, have, each, user);
    syscall(SYS_close, fd);
    return found;
}

bool s5_word_reader_follows(bool *state, const char *keyword, unsigned at, const char *word, size_t len)
{
    if (at == 0)
        *state = len == strlen(keyword) && memcmp(word, keyword, len) == 0;
    return at == 1 && *state;
}
