/* Files are read with plain system calls into pages of their own, which are wiped and given back:
 * they may hold passwords, and the process they are read in may be anybody's. A device, a pipe or a
 * directory is refused before it is read, and opening one does not block. */
#include "file.h"
#include "error.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(int result, const char *why, const char **ret_why)
{
    *ret_why = why ? why : s5_error_text(result);
    return result;
}

/* All of FD into TEXT, which has room for MAX + 1 octets. The length or -errno. */
static ssize_t read_all(int fd, char *text, size_t max)
{
    size_t have = 0;
    while (have <= max) {
        ssize_t n = read(fd, text + have, max + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return have > max ? -EFBIG : (ssize_t)have;
}

static int read_open(struct s5_file *ret, int fd, size_t max, size_t room, const char **ret_why)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail(-errno, NULL, ret_why);
    if (!S_ISREG(st.st_mode))
        return fail(-EINVAL, "not a regular file", ret_why);
    if (st.st_size < 0 || (size_t)st.st_size > max)
        return fail(-EFBIG, NULL, ret_why);
    struct s5_file file = {.size = (size_t)st.st_size + 1 + room, .mode = st.st_mode & 07777};
    file.text = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (file.text == MAP_FAILED)
        return fail(-ENOMEM, NULL, ret_why);
    ssize_t n = read_all(fd, file.text, (size_t)st.st_size);
    file.len = n < 0 ? 0 : (size_t)n;
    int r = n < 0 ? fail((int)n, n == -EFBIG ? "it grows while it is read" : NULL, ret_why) : 0;
    if (r == 0 && memchr(file.text, '\0', file.len))
        r = fail(-EINVAL, "it holds a NUL octet", ret_why);
    if (r < 0)
        s5_file_free(&file);
    else
        *ret = file;
    return r;
}

int s5_file_read(struct s5_file *ret, const char *path, size_t max, size_t room, const char **ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail(-errno, NULL, ret_why);
    int r = read_open(ret, fd, max, room, ret_why);
    close(fd);
    return r;
}

void s5_file_free(struct s5_file *file)
{
    if (!file->text)
        return;
    explicit_bzero(file->text, file->size);
    munmap(file->text, file->size);
    file->text = NULL;
}

static int put(char ret[S5_FILE_PATH], const char *directory, size_t len, const char *rest, const char **ret_why)
{
    if (len + strlen(rest) + 2 > S5_FILE_PATH)
        return fail(-ENAMETOOLONG, NULL, ret_why);
    s5_format(ret, S5_FILE_PATH, "%.*s%s%s", (int)len, directory, len ? "/" : "", rest);
    return 0;
}

int s5_file_expand(char ret[S5_FILE_PATH], const char *path, const char *home, const char **ret_why)
{
    if (strncmp(path, "~/", 2) != 0)
        return put(ret, "", 0, path, ret_why);
    if (!home || home[0] != '/')
        return fail(-ENOENT, "\"~/\" without HOME", ret_why);
    return put(ret, home, strlen(home), path + 2, ret_why);
}

int s5_file_beside(char ret[S5_FILE_PATH], const char *path, const char *beside, const char *home, const char **ret_why)
{
    char here[S5_FILE_PATH], full[S5_FILE_PATH];
    const char *slash = strrchr(beside, '/');
    if (path[0] == '/' || strncmp(path, "~/", 2) == 0)
        return s5_file_expand(ret, path, home, ret_why);
    /* Of a file in the root the directory is the empty text, and its slash is still wanted. */
    size_t len = slash ? (size_t)(slash - beside) : 0;
    if (len + strlen(path) + 2 > sizeof full)
        return fail(-ENAMETOOLONG, NULL, ret_why);
    s5_format(full, sizeof full, "%.*s%s%s", (int)len, beside, slash ? "/" : "", path);
    if (full[0] == '/')
        return put(ret, "", 0, full, ret_why);
    if (!getcwd(here, sizeof here))
        return fail(-errno, NULL, ret_why);
    return put(ret, here, strlen(here), full, ret_why);
}
